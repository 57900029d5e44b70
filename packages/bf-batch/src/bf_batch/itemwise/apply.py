"""Functions of one item applied to components: what ``apply`` and ``apply_parallel`` share."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar, overload

from bf_batch.actions import ActionSpec
from bf_batch.components import assemble, check_names
from bf_batch.core import BatchCore
from bf_batch.itemwise.init_post import wants_rng
from bf_batch.itemwise.parallel import OWN, ParallelMethod
from bf_batch.itemwise.run import ParallelOptions, choose_items
from bf_batch.itemwise.work import PerItem
from bf_index.errors import unknown

Method = TypeVar("Method", bound=Callable[..., Any])
_DEFAULTS = ("src", "dst", "init", "post", "target", "on_error", "timeout", "n_workers")


def apply(
    batch: BatchCore,
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    place: Mapping[str, Any],
    settings: ParallelOptions,
    p: Any = None,
    address: tuple[int, ...] | None = None,
) -> Any:
    """Apply a function to each item of ``src`` and store the results in ``dst``; see ``Batch.apply``.

    Several ``src`` share the random ``address`` of the call, and the items that ``p`` chooses.
    """
    src, dst = place["src"], place["dst"]
    if isinstance(src, list) or isinstance(dst, list):
        sources = src if isinstance(src, list) else [src] * len(dst)
        targets = dst if isinstance(dst, list) else [dst] * len(sources) if dst else sources
        if len(sources) != len(targets):
            raise ValueError(
                f"{_describe_call(batch, function)}: got {len(sources)} src for {len(targets)} dst"
            )
        if p is not None:
            p = PerItem(choose_items(batch, p, len(batch), _describe_call(batch, function)))
        address = batch.address()
        for one, other in zip(sources, targets):
            part = {**place, "src": one, "dst": other}
            batch = apply(batch, function, args, kwargs, part, settings, p, address)
        return batch
    init = place.get("init") or src
    if place.get("init") is None:
        for name in (src,) if isinstance(src, str) else src or ("data",) * (not batch.components):
            if name not in batch.components and not (name == "data" and not batch.components):
                known = batch.components
                raise AttributeError(
                    f"{_describe_call(batch, function)}: {unknown('component', name, known)}"
                )
        if src is None and batch.components:
            raise ValueError(
                f"{_describe_call(batch, function)}: say which component: src={batch.components[0]!r}"
            )
        init = src or "data"
    target = dst if dst is not None else src if src is not None else "data"
    plan = ParallelMethod(
        function,
        init,
        place.get("post"),
        settings,
        finish=None if place.get("post") else functools.partial(store_results, dst=target),
        with_rng=wants_rng(function),
        with_batch=bool(place.get("with_batch")),
        first_only=isinstance(target, str),
    )
    return plan.call(batch, args, kwargs, settings, p, address)


def store_results(batch: BatchCore, results: Sequence[Any], dst: str | Sequence[str]) -> None:
    """Join the results of items and assign them; several targets take the parts of each result."""
    names = (dst,) if isinstance(dst, str) else tuple(dst)
    if isinstance(dst, str):
        columns: list[Any] = [list(results)]
    else:
        for number, result in enumerate(results):
            if not isinstance(result, (tuple, list)) or len(result) != len(names):
                raise ValueError(
                    f"{type(batch).__name__}: the result of item {number} must be {len(names)} values for "
                    f"dst {names}, got {type(result).__name__}"
                )
        columns = [list(column) for column in zip(*results)]
    for name, column in zip(names, columns):
        value = assemble(column)
        if name in batch.components:
            setattr(batch, name, value)
        elif name == "data" and not batch.components:
            batch._bf_data["data"] = value
        else:
            batch.add_components(check_names(type(batch).__name__, (name,))[0], value)


def _describe_call(batch: BatchCore, function: Callable[..., Any]) -> str:
    return f"{type(batch).__name__}.apply({getattr(function, '__name__', function)})"


class AppliedMethod:
    """Method made by ``apply_parallel``, as a class of batches sees it."""

    def __init__(self, method: Callable[..., Any], defaults: Mapping[str, Any]) -> None:
        self.method = method
        self.defaults = defaults

    def check(self, cls: type[BatchCore], name: str) -> None:
        """Check the components named in the decorator, when the class is defined."""
        given = self.defaults.get("src")
        for source in given if isinstance(given, (tuple, list)) else [given]:
            for part in source if isinstance(source, tuple) else [source]:
                if part is not None and part not in cls.components:
                    raise AttributeError(
                        f"{cls.__name__}.{name}: src={part!r}: "
                        f"{unknown('component', part, cls.components, cls.__name__)}"
                    )


@overload
def apply_parallel(method: Method, /) -> Method: ...
@overload
def apply_parallel(**defaults: Any) -> Callable[[Method], Method]: ...
def apply_parallel(method: Method | None = None, /, **defaults: Any) -> Method | Callable[[Method], Method]:
    """Turn a method for one item of a component into an item-wise action on the component.

    ``src`` and ``dst`` are component names; a tuple gives joint items and joint results, a list is one call
    for each. Further defaults are ``target``, ``on_error``, ``timeout``, ``n_workers``, ``init`` and
    ``post``; those of the class stand in ``apply_defaults``, and each call may give its own, and ``p=``.

    >>> from bf_batch import Batch
    >>> class Sounds(Batch):
    ...     components = ("samples",)
    ...     @apply_parallel(src="samples")
    ...     def louder(self, samples, factor): return samples * factor
    >>> Sounds(2, preloaded=([1.0, 2.0],)).louder(3).samples
    array([3., 6.])
    """
    for name in defaults:
        if name not in _DEFAULTS:
            raise TypeError(f"apply_parallel: {unknown('argument', name, _DEFAULTS)}")

    def decorate(method: Method) -> Method:
        parameters = inspect.signature(method).parameters
        if taken := [name for name in (*OWN, "src", "dst") if name in parameters]:
            raise TypeError(
                f"{method.__name__}: apply_parallel takes {taken[0]!r} itself; rename the parameter"
            )

        @functools.wraps(method)
        def call(batch: BatchCore, *args: Any, p: Any = None, **kwargs: Any) -> Any:
            own = {name: kwargs.pop(name) for name in _DEFAULTS if name in kwargs}
            given = {**batch.apply_defaults, **defaults, **own}
            place = {"src": None, "dst": None, **given, "with_batch": True}
            return apply(batch, method, args, kwargs, place, make_options(given), p)

        call.__bf_parallel__ = AppliedMethod(method, defaults)  # type: ignore[attr-defined]
        call.__bf_action__ = ActionSpec(method.__name__, itemwise=True)  # type: ignore[attr-defined]
        return call  # type: ignore[return-value]

    return decorate if method is None else decorate(method)


def make_options(given: Mapping[str, Any]) -> ParallelOptions:
    """Return the options of an applied function from the keywords of a call."""
    return ParallelOptions(
        given.get("target") or "inline",
        given.get("on_error") or "raise",
        given.get("timeout"),
        given.get("n_workers"),
    )
