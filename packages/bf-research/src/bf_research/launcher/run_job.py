"""Running a composed job: as Hydra's ``run_job`` does, with one copy of the task's part in place of five."""

from __future__ import annotations

import os
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import (
    JobReturn,
    JobRuntime,
    JobStatus,
    configure_log,
    run_job,
)
from hydra.types import HydraContext, TaskFunction
from hydra.version import base_at_least
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from bf_research.launcher.hydra_private import flush_loggers, split_config, to_yaml

FOLDER, SUBFOLDER = "hydra.sweep.dir", "hydra.sweep.subdir"


def run(task: TaskFunction, config: DictConfig, context: HydraContext) -> JobReturn:
    """Run a job; the same result, files and calls of callbacks as Hydra's own.

    A job that changes its folder or its environment is left to Hydra.
    """
    job = config.hydra.job
    if job.env_set or job.chdir or (job.chdir is None and not base_at_least("1.2")):
        return run_job(task, config, FOLDER, SUBFOLDER, context)
    holder = HydraConfig.instance()
    before = holder.cfg
    # for ${hydra:...} in the name of the folder
    holder.cfg = config  # type: ignore[assignment]
    folder = Path(str(config.hydra.sweep.dir), str(config.hydra.sweep.subdir)).absolute()
    with read_write(config.hydra.runtime), open_dict(config.hydra.runtime):
        config.hydra.runtime.output_dir = str(folder)
    OmegaConf.set_readonly(config.hydra, True)
    own, holder.cfg = split_config(config)  # type: ignore[assignment]
    try:
        result = JobReturn(working_dir=os.getcwd(), cfg=own, hydra_cfg=holder.cfg)  # type: ignore[arg-type]
        overrides = result.overrides = list(config.hydra.overrides.task)
        folder.mkdir(parents=True, exist_ok=True)
        configure_log(config.hydra.job_logging, config.hydra.verbose)
        if config.hydra.output_subdir is not None:
            _write(folder / config.hydra.output_subdir, result, overrides)
        context.callbacks.on_job_start(config=config, task_function=task)
        try:
            result.return_value = task(result.cfg)
            result.status = JobStatus.COMPLETED
        except Exception as error:  # noqa: BLE001 - the job's own: it is its result
            result.return_value = error
            result.status = JobStatus.FAILED
        result.task_name = JobRuntime.instance().get("name")
        flush_loggers()
        context.callbacks.on_job_end(config=config, job_return=result)
        return result
    finally:
        holder.cfg = before


def _write(folder: Path, result: JobReturn, overrides: list[str]) -> None:
    """Leave what the job was made of in its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = {"config": result.cfg, "hydra": result.hydra_cfg, "overrides": OmegaConf.create(overrides)}
    for name, part in parts.items():
        (folder / f"{name}.yaml").write_text(to_yaml(part), encoding="utf-8")
