"""The launcher behind ``hydra/launcher=gpu``: from Hydra's overrides to results, through warm workers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from hydra.core.utils import JobReturn, configure_log, filter_overrides

from bf_pipeline.redaction.values import redact_command
from bf_research.launcher.display.choice import choose_monitor, tell_nothing
from bf_research.launcher.errors import JobStopped
from bf_research.launcher.hydra_job import HydraJob, give_results, make_failure
from bf_research.launcher.hydra_private import task_overrides
from bf_research.launcher.jobs import Job
from bf_research.launcher.options import preload_list, settle
from bf_research.launcher.pool import open_pool
from bf_research.launcher.scheduler import Answer, Scheduler


def stream(
    job: HydraJob,
    options: Mapping[str, Any],
    overrides: Iterable[Sequence[str] | None],
    first_number: int,
    total: int | None = None,
    answer: Answer | None = None,
    best: Callable[[], str] = tell_nothing,
) -> Iterator[tuple[int, JobReturn]]:
    """Run a job with overrides as they come from an iterator; yield ``(number, result)``, in any order.

    None from the iterator says that the next job depends on results which are not there yet. Everything that
    is wrong with the options is an error before a worker is started. ``answer`` tells jobs that ask whether
    to go on; ``best`` returns what is best so far, for people.
    """
    config = job.config
    slots, policy = settle(options)
    configure_log(config.hydra.hydra_logging, config.hydra.verbose)
    jobs = _jobs(overrides, first_number, frozenset(task_overrides(config.hydra)))
    first = next(jobs, None)
    if first is None:  # a sweep that goes on and has nothing left to run starts no worker
        return
    with open_pool(
        preload_list(options, config), slots, lease=options["lease"], keep=options["keep_workers"]
    ) as workers:
        monitor = choose_monitor(total, [slot.name for slot in slots], bool(options["bar"]), best)
        scheduler = Scheduler(workers, policy, monitor, answer=answer)
        yield from give_results(scheduler.run(job, chain([first], jobs)), monitor)


def _jobs(
    overrides: Iterable[Sequence[str] | None], first_number: int, given: frozenset[str]
) -> Iterator[Job | None]:
    """Yield jobs with number and label; what was given for all of them is not in a label."""
    number = first_number
    for one in overrides:
        if one is None:
            yield None
            continue
        label = redact_command(text for text in filter_overrides(one) if text not in given)
        yield Job(number, (list(one), number), label)
        number += 1


def launch(
    job: HydraJob, options: Mapping[str, Any], overrides: Sequence[Sequence[str]], first_number: int
) -> list[JobReturn]:
    """Run a list of jobs; return their results in its order, those never begun as stopped.

    All are composed once before any begins, while the workers' server still imports.
    """
    for one in overrides:
        job.composer.check(one)
    found = dict(stream(job, options, overrides, first_number, len(overrides)))
    never = JobStopped("never begun: the sweep was stopped by on_failure=stop")
    return [
        found.get(number) or make_failure(one, never) for number, one in enumerate(overrides, first_number)
    ]
