"""Resume after SIGTERM with a real network: batches, weights, optimizer and metrics to the last bit."""

from __future__ import annotations

import signal

import pytest

SCRIPT = """
    import hashlib, os, sys, time
    import numpy as np
    from bf_batch import Batch, Dataset, action
    from bf_models import ResNet18
    from bf_models.metrics import ClassificationMetrics
    from bf_pipeline import B, Pipeline, V

    class Pictures(Batch):
        components = ("images", "labels")

        @action
        def make(self):
            self.labels = self.indices % 3
            noise = self.rng().normal(size=(len(self), 16, 16, 1))
            self.images = (noise + self.labels[:, None, None, None]).astype(np.float32)
            # later batches are so slow that a signal comes before the last one, however late it comes
            time.sleep(float(os.environ.get("SLOW", 0)) * (100 if self.place.batch > 6 else 1))
            return self

    config = {
        "inputs": {"images": {"shape": (16, 16, 1)}, "labels": {"classes": 3}},
        "body": {"filters": 4},
        "stem": "imagenet",
        "loss": "ce",
        "optimizer": {"name": "Adam", "learning_rate": 0.01},
        "seed": 1,
    }
    pipeline = (
        Pipeline(Dataset(96, Pictures))
        .init_variable("loss", init_on_each_run=list)
        .init_variable("metrics")
        .init_model("dynamic", ResNet18, "net", config=config)
        .make()
        .train_model("net", B("images"), B("labels"), fetches="loss", save_to=V("loss"), mode="a")
        .predict_model("net", B("images"), save_to=B("predictions"))
        .gather_metrics(
            ClassificationMetrics, B("labels"), B("predictions"), save_to=V("metrics"), fmt="logits", axis=-1
        )
    )
    print("running", flush=True)
    saved = sys.argv[1:] or os.environ.get("SAVED")
    options = dict(shuffle=True, n_epochs=2, seed=3, prefetch=2, engine="threads")
    if saved:
        pipeline, options["resume"] = pipeline.checkpoint(saved, every=4), saved
    done = pipeline.run(8, **options)
    weights = done.m("net").network.get_weights()
    print(hashlib.sha256(b"".join(np.ascontiguousarray(w).tobytes() for w in weights)).hexdigest())
    print(done.v("loss"), done.v("metrics").evaluate("accuracy"), len(done.v("loss")))
"""


@pytest.mark.slow
@pytest.mark.faults("CK10", "RN25")
def test_training_goes_on_bit_by_bit_after_sigterm(start_script, run_script, tmp_path):
    whole = run_script(SCRIPT)
    assert whole.code == 0, whole.err
    started = start_script(SCRIPT, SAVED="saved", SLOW="0.3")
    started.wait_until(lambda: list(tmp_path.glob("saved/checkpoint-*")), "a checkpoint")
    started.send(signal.SIGTERM)
    assert started.finish().code == 143
    again = run_script(SCRIPT, SAVED="saved")
    assert again.out == whole.out, again.err
