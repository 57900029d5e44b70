"""Samplers of numpy's and scipy's distributions, of constants and of histograms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np

from bf_index.errors import unknown
from bf_pipeline.samplers.algebra import Rows, Sampler

# Short names that the older BatchFlow knows; the second is scipy's where it differs.
_ALIASES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "n": ("normal", "norm"),
        "u": ("uniform", "uniform"),
        "mvn": ("multivariate_normal", "multivariate_normal"),
        "e": ("exponential", "expon"),
        "g": ("gamma", "gamma"),
        "be": ("beta", "beta"),
        "mnm": ("multinomial", "multinomial"),
        "f": ("f", "f"),
        "p": ("poisson", "poisson"),
        "w": ("weibull", "dweibull"),
        "ln": ("lognormal", "lognorm"),
        "b": ("binomial", "binom"),
        "chi2": ("chisquare", "chi2"),
        "c": ("choice", "choice"),
    }
)
_NOT_DISTRIBUTIONS = {"bit_generator", "bytes", "permutation", "permuted", "shuffle", "spawn"}
_NUMPY_NAMES = frozenset(
    name for name in dir(np.random.Generator) if not name.startswith("_") and name not in _NOT_DISTRIBUTIONS
)


def _as_rows(drawn: np.ndarray, size: int, dim: int) -> Rows:
    """Shape size * dim draws into (size, coordinates)."""
    drawn = np.asarray(drawn)
    width = int(np.prod(drawn.shape[1:], dtype=int))
    return drawn.reshape(size, dim * width)


def _check_dim(dim: int) -> None:
    if not isinstance(dim, int | np.integer) or dim < 1:
        raise ValueError(f"dim must be a whole number >= 1, got {dim!r}")


def _refuse_seed(params: Mapping[str, Any], owner: str) -> None:
    if "seed" in params:
        raise TypeError(
            f"{owner} takes no seed: a sampler is a value and randomness comes with the call; "
            f"write sampler.sample(size, np.random.default_rng({params['seed']!r}))"
        )


def _call(name: str, positional: tuple[Any, ...], params: Mapping[str, Any]) -> str:
    arguments = [*map(repr, positional), *(f"{key}={value!r}" for key, value in params.items())]
    return f"{name}({', '.join(arguments)})"


@dataclass(frozen=True, slots=True, eq=False, repr=False, init=False)
class NumpySampler(Sampler):
    """A distribution of ``numpy.random.Generator`` by its name or short name (n u e g ...).

    ``dim=k`` draws k independent coordinates. A wrong name or parameter is an error when the sampler is made.

    >>> import numpy as np
    >>> NumpySampler('normal', loc=10, dim=2).sample(5, np.random.default_rng(0)).shape
    (5, 2)
    """

    name: str
    params: Mapping[str, Any]
    dim: int

    def __init__(self, name: str, dim: int = 1, **params: Any) -> None:
        _refuse_seed(params, "NumpySampler")
        _check_dim(dim)
        name = _ALIASES.get(name, (name,))[0]
        if name not in _NUMPY_NAMES:
            raise ValueError(unknown("distribution", name, _NUMPY_NAMES, "numpy.random.Generator"))
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "params", dict(params))
        object.__setattr__(self, "dim", int(dim))
        try:
            self._rows(1, np.random.default_rng(0))
        except (TypeError, ValueError) as error:
            error.add_note(f"in {self!r}")
            raise

    def _rows(self, size: int, rng: np.random.Generator) -> Rows:
        return _as_rows(getattr(rng, self.name)(size=size * self.dim, **self.params), size, self.dim)

    def __repr__(self) -> str:
        extra = {"dim": self.dim} if self.dim != 1 else {}
        return _call("NumpySampler", (self.name,), {**self.params, **extra})


@dataclass(frozen=True, slots=True, eq=False, repr=False, init=False)
class ScipySampler(Sampler):
    """A distribution of ``scipy.stats``, by its name with parameters or already frozen.

    ``ScipySampler('gamma', a=2)`` and ``ScipySampler(scipy.stats.gamma(a=2))`` are the same.
    """

    distribution: Any
    dim: int

    def __init__(self, distribution: Any, dim: int = 1, **params: Any) -> None:
        _refuse_seed(params, "ScipySampler")
        _check_dim(dim)
        if isinstance(distribution, str):
            distribution = _scipy_distribution(distribution, params)
        elif params:
            raise TypeError(f"ScipySampler: a frozen distribution takes no parameters, got {sorted(params)}")
        if not callable(getattr(distribution, "rvs", None)):
            raise TypeError(f"ScipySampler: give a name or a frozen scipy distribution, got {distribution!r}")
        object.__setattr__(self, "distribution", distribution)
        object.__setattr__(self, "dim", int(dim))

    def _rows(self, size: int, rng: np.random.Generator) -> Rows:
        count = size * self.dim
        if count == 0:
            # Multivariate distributions drop the coordinates of an empty sample.
            return self._rows(1, np.random.default_rng(0))[:0]
        drawn = np.asarray(self.distribution.rvs(size=count, random_state=rng))
        # A single draw of a multivariate distribution comes without its first axis.
        return _as_rows(drawn.reshape(count, -1), size, self.dim)

    def __repr__(self) -> str:
        frozen = self.distribution
        name = getattr(getattr(frozen, "dist", None), "name", type(frozen).__name__)
        extra = {"dim": self.dim} if self.dim != 1 else {}
        return _call(
            "ScipySampler", (name, *getattr(frozen, "args", ())), {**getattr(frozen, "kwds", {}), **extra}
        )


def _scipy_distribution(name: str, params: Mapping[str, Any]) -> Any:
    try:
        import scipy.stats
    except ImportError as error:
        raise ImportError("ScipySampler needs scipy: pip install scipy") from error
    name = _ALIASES.get(name, ("", name))[1]
    known = [key for key in dir(scipy.stats) if callable(getattr(getattr(scipy.stats, key), "rvs", None))]
    if name not in known:
        raise ValueError(unknown("distribution", name, known, "scipy.stats"))
    return getattr(scipy.stats, name)(**params)


@dataclass(frozen=True, slots=True, eq=False, repr=False, init=False)
class ConstantSampler(Sampler):
    """The same value always: a number, a string, or a list that gives several coordinates."""

    constant: Any
    dim: int

    def __init__(self, constant: Any, dim: int = 1) -> None:
        _check_dim(dim)
        object.__setattr__(self, "constant", constant)
        object.__setattr__(self, "dim", int(dim))

    def _rows(self, size: int, rng: np.random.Generator) -> Rows:
        return np.tile(np.asarray(self.constant).reshape(1, -1), (size, self.dim))

    def __repr__(self) -> str:
        return _call("ConstantSampler", (self.constant,), {"dim": self.dim} if self.dim != 1 else {})


@dataclass(frozen=True, slots=True, eq=False, repr=False, init=False)
class HistogramSampler(Sampler):
    """Points spread like a histogram: a bin by its count, then uniform inside the bin.

    ``histogram`` is what ``np.histogram`` or ``np.histogramdd`` returns; with ``edges`` alone it starts
    empty, and ``update(points)`` returns a sampler that has counted the points.

    >>> import numpy as np
    >>> sampler = HistogramSampler(edges=[[0, 1, 2]]).update([[0.5], [1.5], [1.7]])
    >>> sampler.counts.tolist()
    [1.0, 2.0]
    """

    counts: np.ndarray
    edges: tuple[np.ndarray, ...] = field(default=())

    def __init__(self, histogram: tuple[Any, Any] | None = None, edges: Sequence[Any] | None = None) -> None:
        if (histogram is None) == (edges is None):
            raise ValueError("HistogramSampler: give either histogram=(counts, edges) or edges=")
        given = histogram[1] if histogram is not None else edges
        assert given is not None
        # np.histogram gives one array of edges, np.histogramdd a list with an array per coordinate.
        axes = (given,) if np.ndim(given[0]) == 0 else given
        checked = tuple(np.asarray(axis, dtype=float) for axis in axes)
        shape = tuple(len(axis) - 1 for axis in checked)
        counts = np.zeros(shape) if histogram is None else np.asarray(histogram[0], dtype=float)
        for axis in checked:
            if axis.ndim != 1 or len(axis) < 2 or np.any(np.diff(axis) <= 0):
                raise ValueError(f"edges must be two or more and grow, got {axis.tolist()}")
        if counts.shape != shape:
            raise ValueError(f"got counts of shape {counts.shape} for edges of {shape} bins")
        if np.any(counts < 0) or not np.all(np.isfinite(counts)):
            raise ValueError("HistogramSampler: counts must be numbers >= 0")
        object.__setattr__(self, "counts", counts)
        object.__setattr__(self, "edges", checked)

    def update(self, points: Any) -> HistogramSampler:
        """Return a sampler that has counted points of shape (n, coordinates) as well."""
        added, _ = np.histogramdd(np.asarray(points).reshape(-1, len(self.edges)), bins=list(self.edges))
        return HistogramSampler((self.counts + added, self.edges))

    def _rows(self, size: int, rng: np.random.Generator) -> Rows:
        total = self.counts.sum()
        if total == 0:
            raise ValueError(f"{self!r} has counted no points yet; use sampler = sampler.update(points)")
        flat = rng.choice(self.counts.size, size=size, p=self.counts.ravel() / total)
        bins = np.unravel_index(flat, self.counts.shape)
        low = np.stack([axis[bin_] for axis, bin_ in zip(self.edges, bins)], axis=1)
        high = np.stack([axis[bin_ + 1] for axis, bin_ in zip(self.edges, bins)], axis=1)
        return rng.uniform(low, high)

    def __repr__(self) -> str:
        shape = " x ".join(str(length) for length in self.counts.shape)
        return f"<HistogramSampler of {shape} bins, {self.counts.sum():g} points>"


# The name in the older BatchFlow.
HistoSampler = HistogramSampler


def as_sampler(source: Any, **params: Any) -> Sampler:
    """Make a sampler of a sampler, a frozen scipy distribution or the name of a numpy distribution."""
    if isinstance(source, str):
        return NumpySampler(source, **params)
    if params:
        raise TypeError(f"parameters {sorted(params)} go with the name of a distribution, got {source!r}")
    if isinstance(source, Sampler):
        return source
    if callable(getattr(source, "rvs", None)):
        return ScipySampler(source)
    raise TypeError(
        f"give a sampler, the name of a numpy distribution or a frozen scipy distribution, got {source!r}"
    )
