"""Research: units over a domain, checked, placed on workers and run."""

from bf_research.research.research import Research

__all__ = ["Research"]
