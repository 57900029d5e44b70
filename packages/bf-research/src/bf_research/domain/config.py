"""A configuration of a domain: one value of every option, and the repetition."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bf_index.errors import unknown
from bf_pipeline.redaction.values import redact
from bf_research.domain.option import KV, as_kv, canonical

#: Types of values that JSON gives back as they were.
_PLAIN = frozenset({int, float, str, bool, type(None)})


class Config(Mapping[str, Any]):
    """One configuration: a read-only mapping from names of options to real values, and its repetition.

    ``config.key`` has what stands for the values (JSON data), ``config.aliases`` the same as text,
    ``config.nested()`` the values under nested names (``model.lr`` inside ``model``).
    """

    __slots__ = ("_values", "repetition")

    def __init__(self, values: Mapping[str, Any], repetition: int = 0) -> None:
        self._values: dict[str, KV] = {name: as_kv(value) for name, value in values.items()}
        self.repetition = repetition

    def __getitem__(self, name: str) -> Any:
        if name not in self._values:
            raise KeyError(unknown("option", str(name), self._values))
        return self._values[name].value

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    @property
    def key(self) -> dict[str, Any]:
        """What identifies the configuration: JSON data, equal in every spelling of the domain."""
        return {name: kv.key for name, kv in self._values.items()}

    @property
    def aliases(self) -> dict[str, str]:
        """Names of the values, for tables."""
        return {name: kv.name for name, kv in self._values.items()}

    def values_by_name(self) -> dict[str, KV]:
        """Return the values with their aliases."""
        return dict(self._values)

    def is_told_by(self, data: Mapping[str, Any]) -> bool:
        """Whether JSON data has the very values, types and all, and no value has a name of its own."""
        return all(
            type(kv.value) in _PLAIN
            and type(kv.value) is type(data.get(name))
            and kv.value == data[name]
            and kv.alias is None
            for name, kv in self._values.items()
        )

    def nested(self) -> dict[str, Any]:
        """Return the values as nested dicts; ``ValueError`` when a name is both a value and a section."""
        return nest(self)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Config):
            return self.repetition == other.repetition and canonical(self.key) == canonical(other.key)
        return Mapping.__eq__(self, other) if isinstance(other, Mapping) else NotImplemented

    def __hash__(self) -> int:
        return hash((canonical(self.key), self.repetition))

    def __repr__(self) -> str:
        pairs = ", ".join(f"{name}={value}" for name, value in redact(self.aliases).items())
        return f"Config({pairs}, repetition={self.repetition})"

    def with_repetition(self, repetition: int) -> Config:
        """Return the same values as another repetition."""
        return self if repetition == self.repetition else Config(self._values, repetition)


def nest(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Turn ``{'model.lr': 1}`` into ``{'model': {'lr': 1}}``; ``ValueError`` when two names clash."""
    tree: dict[str, Any] = {}
    sections: set[str] = set()
    for name, value in flat.items():
        *path, last = name.split(".")
        place = tree
        for depth, part in enumerate(path, 1):
            section = ".".join(path[:depth])
            if part in place and section not in sections:
                raise ValueError(
                    f"option {name!r} lies inside {section!r}, which is an option with a value of its own"
                )
            sections.add(section)
            place = place.setdefault(part, {})
        if last in place:
            raise ValueError(f"option {name!r} is both a value and the section of another option")
        place[last] = value
    return tree
