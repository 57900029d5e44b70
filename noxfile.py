"""Sessions of the project: ``nox`` runs lint, types and tests; ``nox -s NAME`` runs one."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import nox

nox.needs_version = ">=2025.2"
nox.options.default_venv_backend = "uv"
nox.options.sessions = ["lint", "types", "tests"]
nox.options.error_on_missing_interpreters = False
nox.options.reuse_existing_virtualenvs = True

ROOT = Path(__file__).parent
SOURCES = ["index", "batch", "pipeline", "models", "research"]
PROCESSES = ["--numprocesses=logical", "--maxprocesses=4", "--dist=worksteal"]
QUICK = ["-q", "-m", "not slow and not browser", *PROCESSES]
# Bounded on machines that fetch no interpreter and speak to no one.
ENVIRONMENT = {"UV_PYTHON_DOWNLOADS": "never", "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}


def sync(session: nox.Session, *options: str) -> None:
    """Bring the session's environment to the pins of pyproject.toml."""
    session.run_install(
        "uv",
        "sync",
        "--quiet",
        *options,
        env={**ENVIRONMENT, "UV_PROJECT_ENVIRONMENT": session.virtualenv.location},
        external=True,
    )


@nox.session
def lint(session: nox.Session) -> None:
    """Style, format and the direction of imports."""
    sync(session, "--only-group", "lint")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("python", "tools/check_layers.py")


@nox.session
def types(session: nox.Session) -> None:
    """Strict types of the five packages, and of their public API as it is used."""
    sync(session, "--no-default-groups", "--group", "types")
    session.run("mypy", *[f"packages/bf-{name}/src" for name in SOURCES])
    session.run("mypy", "--warn-unused-ignores", "tests/typing")


@nox.session
def tests(session: nox.Session) -> None:
    """All tests but the slow ones, a process for each core; other options of pytest may follow."""
    sync(session)
    session.run("pytest", *(session.posargs or QUICK), env=ENVIRONMENT)


def install_apart(session: nox.Session, *options: str) -> None:
    """Install the packages without the workspace's pins, with the tests' libraries."""
    extras = {
        "index": "[remote]",
        "batch": "[images,opensets,tables,hdf5,blosc,show]",
        "models": "[cpu,convert,onnx,sklearn]",
    }
    own = [word for name in SOURCES for word in ("-e", f"packages/bf-{name}{extras.get(name, '')}")]
    session.install("--no-config", *options, *own, "--group", "test")


@nox.session
def oldest(session: nox.Session) -> None:
    """The tests with the lowest versions that the packages declare."""
    install_apart(session, "--resolution", "lowest-direct")
    session.run("pytest", *(session.posargs or QUICK), env=ENVIRONMENT)


@nox.session(name="next")
def newest(session: nox.Session) -> None:
    """The tests with the newest versions that there are, those before a release too; pins are left aside."""
    # bf-research wants Hydra before 1.4, of which there is no release yet: what comes is tried all the same
    coming = Path(session.virtualenv.location) / "coming.txt"
    coming.write_text("hydra-core>=1.4.0rc1\nomegaconf>=2.4.0rc1\n")
    install_apart(session, "--upgrade", "--prerelease", "allow", "--override", str(coming))
    session.run("uv", "pip", "list", external=True)
    session.run("pytest", *(session.posargs or QUICK), env=ENVIRONMENT)


@nox.session
def slow(session: nox.Session) -> None:
    """The tests that take long: sweeps, storms of processes, published networks."""
    sync(session)
    session.run("pytest", "-q", "-m", "slow", "--timeout=900", *session.posargs, env=ENVIRONMENT)


@nox.session
def faults(session: nox.Session) -> None:
    """The catalogue of faults: what survives, and which rows fall short; then readers on damaged files."""
    sync(session)
    session.run("python", "tools/fault_report.py", *session.posargs, env=ENVIRONMENT)
    if not session.posargs:
        seconds = {"BF_FUZZ_SECONDS": "5"}  # for each reader
        session.run("pytest", "-q", "tests/attacks/test_damaged_files.py", env={**ENVIRONMENT, **seconds})


@nox.session
def s3(session: nox.Session) -> None:
    """FilesIndex against a real S3 server on loopback."""
    # Apart and without the workspace's pins: moto and the pinned pandas want different versions of dateutil.
    session.install(
        "--no-config", "-e", "packages/bf-index[remote]", "moto[server,s3]==5.2.5", "s3fs==2026.9.0"
    )
    session.install("--no-config", "pytest", "pytest-timeout", "hypothesis")
    session.run("pytest", "-q", "tests/index/files/test_storage.py", *session.posargs, env=ENVIRONMENT)


@nox.session
def wandb(session: nox.Session) -> None:
    """tracking=wandb with W&B's own service; nothing is sent."""
    own = [f"packages/bf-{name}" for name in ("index", "batch", "pipeline", "research[wandb,tensorboard]")]
    editable = [word for path in own for word in ("-e", path)]
    session.install("--no-config", *editable, "pytest", "pytest-timeout", "pandas")
    tests = "tests/research/tracking/test_wandb_tracker.py"
    session.run("pytest", "-q", tests, *session.posargs, env=ENVIRONMENT)


@nox.session
def ray(session: nox.Session) -> None:
    """engine='ray' and sweeps on a real local cluster, with workers and drivers killed."""
    own = [f"packages/bf-{name}" for name in ("index", "batch", "pipeline[ray]", "research")]
    editable = [word for path in own for word in ("-e", path)]
    session.install("--no-config", *editable, "hydra-ray-launcher", "pytest", "pytest-timeout")
    tests = ("tests/faults/test_prefetch_ray.py", "tests/faults/test_sweep_ray.py")
    session.run("pytest", "-q", *tests, *session.posargs, env=ENVIRONMENT)


@nox.session
def slurm(session: nox.Session) -> None:
    """Sweeps on a real Slurm of this machine alone, which Debian's packages bring; skipped without root."""
    if shutil.which("slurmd") is None and shutil.which("apt-get") is not None and os.getuid() == 0:
        packages = ["slurm-wlm", "munge"]
        session.run("apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages, external=True)
    own = [f"packages/bf-{name}" for name in ("index", "batch", "pipeline", "research")]
    editable = [word for path in own for word in ("-e", path)]
    session.install("--no-config", *editable, "hydra-submitit-launcher", "pytest", "pytest-timeout")
    session.run("pytest", "-q", "tests/faults/test_sweep_slurm.py", *session.posargs, env=ENVIRONMENT)


@nox.session
def torch(session: nox.Session) -> None:
    """Items, batches and pipelines under a DataLoader of PyTorch, and a sampler that needs torch."""
    own = ["bf-index", "bf-batch[images]", "bf-pipeline[torch]", "bf-models", "bf-research[optuna]"]
    editable = [word for name in own for word in ("-e", f"packages/{name}")]
    session.install("--no-config", *editable, "pytest", "pytest-timeout", "hypothesis", "scipy")
    tests = ["tests/batch/test_torch.py", "tests/pipeline/test_torch_dataset.py"]
    tests += ["tests/research/search/test_search.py"]
    session.run("pytest", "-q", *(session.posargs or tests), env=ENVIRONMENT)
    shown = "run and (bf-index or bf-batch or bf-pipeline)"
    session.run("pytest", "-q", "tests/integration/test_docs.py", "-k", shown, env=ENVIRONMENT)


@nox.session
def build(session: nox.Session) -> None:
    """Wheels of all packages by way of source archives: checked, installed, used outside the checkout."""
    folder = session.create_tmp()
    shutil.rmtree(folder)
    session.run("uv", "build", "--quiet", "--all-packages", "-o", folder, external=True)
    session.run("python", "tools/check_wheels.py", folder)
    session.install("--find-links", folder, "bf-research[cpu]", "pytest")
    session.chdir(folder)
    session.run("python", ROOT / "tools/smoke.py", env=ENVIRONMENT)
    session.run("batchflow", "init", "demo")
    session.chdir("demo")
    session.run("python", "train.py", "model=lenet", "n_epochs=1", "bar=false", env=ENVIRONMENT)
    session.run("batchflow", "show")
    session.run("python", "-m", "pytest", "-q", env=ENVIRONMENT)
    session.run("batchflow", "doctor")


@nox.session
def browser(session: nox.Session) -> None:
    """The printed addresses of a sweep in a real browser, which Debian's packages bring."""
    if shutil.which("chromium") is None:
        session.run("apt-get", "install", "-y", "-qq", "chromium", external=True)
    sync(session)
    session.run("pytest", "-q", "tests/browser", *session.posargs, env=ENVIRONMENT)


@nox.session
def docs(session: nox.Session) -> None:
    """The site, in build/site; a warning is an error. Its examples run in the session tests."""
    session.install("--no-config", "-r", "tools/site/requirements.txt")
    quiet = {**ENVIRONMENT, "NO_MKDOCS_2_WARNING": "1"}
    session.run("mkdocs", "build", "--quiet", "-f", "tools/site/mkdocs.yml", *session.posargs, env=quiet)


@nox.session
def examples(session: nox.Session) -> None:
    """Each example of docs/examples.md reaches what the page says: ``nox -s examples -- text`` runs one."""
    sync(session)
    session.run("python", "tools/examples.py", *session.posargs, env=ENVIRONMENT)


@nox.session
def notebooks(session: nox.Session) -> None:
    """The notebooks of docs/examples run from a clean start; ``-- --write`` keeps their new pictures."""
    sync(session)
    session.install("--no-config", "nbclient", "ipykernel")
    session.run("python", "tools/notebooks.py", *session.posargs, env=ENVIRONMENT)


@nox.session(venv_backend="venv")
def bench(session: nox.Session) -> None:
    """Time the packages against their peers in one run: ``nox -s bench -- index images``."""
    session.install("-r", "requirements.txt")
    session.install("-r", "tools/bench/requirements.txt")
    session.run("python", "tools/bench", *session.posargs, env=ENVIRONMENT)
