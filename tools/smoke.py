"""Train a little with the installed packages: what a fresh environment has to manage before a release."""

from __future__ import annotations

import math
from importlib.metadata import version

from bf_batch.opensets import MNIST
from bf_models import VGG7
from bf_pipeline import B, P, Pipeline, R, V
from bf_research import Domain, Option

PACKAGES = ["bf-index", "bf-batch", "bf-pipeline", "bf-models", "bf-research"]


def main() -> None:
    """Run three steps of a small network over augmented digits; a failure is an exception."""
    pipeline = (
        Pipeline()
        .init_variable("losses", init_on_each_run=list)
        .init_model("dynamic", VGG7, "net", config={"num_classes": 10, "loss": "ce"})
        .rotate(angle=P(R("uniform", -10, 10)), p=0.8)
        .train_model("net", B("images"), B("labels"), fetches="loss", save_to=V("losses"), mode="a")
    )
    losses = (pipeline << MNIST().train).run(32, n_iters=3, seed=0).v("losses")
    if len(losses) != 3 or not all(math.isfinite(loss) for loss in losses):
        raise SystemExit(f"training went wrong: losses {losses}")
    if len(Domain(Option("a", [1, 2]) * Option("b", [3, 4]))) != 4:
        raise SystemExit("a product of two options of two values must have four configurations")
    print(f"works: {', '.join(f'{name} {version(name)}' for name in PACKAGES)}; losses {losses}")


if __name__ == "__main__":
    main()
