"""Sets of configurations: options and their algebra, in Python, in text and as data."""

from bf_research.domain.domain import Domain, Option

__all__ = ["Domain", "Option"]
