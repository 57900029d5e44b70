"""Engines: where work runs. In the caller (`inline`), in threads, or in worker processes."""

from bf_batch.engines.base import Engine, WorkerDied, check_engine, default_workers
from bf_batch.engines.factory import ENGINES, make_engine, shared

__all__ = ["ENGINES", "Engine", "WorkerDied", "check_engine", "default_workers", "make_engine", "shared"]
