"""Going on: a run that begins with the variables, models and place of the run before it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from bf_index import StateError
from bf_pipeline.run.checkpoint.capture import find_position
from bf_pipeline.run.options import RunOptions
from bf_pipeline.run.state import Holdings, RunState


class Earlier:
    """The run that another one goes on with, and where the other one begins.

    ``made`` is the number of batches before it: where the earlier run stands if both cut the same data in
    the same way, else the beginning of the next epoch.
    """

    def __init__(self, run: Holdings | None, options: RunOptions) -> None:
        if options.resume is not None:
            raise ValueError(
                "go_on and resume: a run goes on with the last one or with a state, not with both"
            )
        if run is None:
            raise RuntimeError("go_on: this pipeline was not run yet; the first run goes without go_on")
        if not isinstance(run, RunState):
            raise RuntimeError(
                "go_on: the last run was fed with batches from elsewhere, so it has no place to go on from"
            )
        if options.seed not in (None, run.seed):
            raise ValueError(
                f"go_on: the last run had seed {run.seed}, seed={options.seed} is another; leave it out"
            )
        self.run = run
        self.seed = run.seed
        self.made = 0

    def lengthen(self, index: Any, options: RunOptions, endless: bool, regroups: bool) -> RunOptions:
        """Return options whose ``n_epochs`` or ``n_iters`` count from the very beginning.

        Without either it is one epoch more. An epoch that was left in the middle is finished first.
        """
        names = ("shuffle", "drop_last", "order", "cross_epochs")
        plan = {name: getattr(options, name) for name in names}
        fresh = index.endless(options.batch_size, seed=self.seed, **plan)
        position = find_position(self.run)
        epoch, batch = self.run.places.plan.locate(position["batches"])
        epochs = epoch + (batch > 0)
        try:
            fresh.restore(position)
        except StateError:  # other data or batches of another size: the next epoch has a beginning in both
            self.made = fresh.plan.first(epochs)
        else:
            self.made = position["batches"]
        if options.n_iters is not None:
            before = self.run.pools[-1].made if regroups and self.run.pools else self.made
            return replace(options, n_iters=before + options.n_iters)
        if options.n_epochs is None and endless:
            return options
        more = 1 if options.n_epochs is None else options.n_epochs
        return replace(options, n_epochs=epochs + more)

    def go_to(self, places: Any) -> None:
        """Bring the places of the new run to where it begins."""
        places.restore({**places.state(), "batches": self.made})

    def fill(self, run: RunState) -> None:
        """Hand on what the earlier run has: its numbers, and the pools of its ``rebatch`` steps."""
        run.begun, run.first, run.delivered = True, self.made, self.run.delivered
        for pool, before in zip(run.pools, self.run.pools):
            pool.made = before.made
