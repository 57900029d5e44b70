"""Loops that earlier runs compiled are there in every process that is forked from one that loaded them."""

import pytest

USE = """
    from bf_batch.images.kernels.maps import throw_coins
    print(throw_coins((1, 2), 5, 0.5).tolist(), dict(throw_coins.stats.cache_hits) != {})
"""
LOAD = """
    from bf_batch.images.kernels import axes, colour, interpolate, kept, maps, packed_bytes
    loops = [one for module in (axes, colour, interpolate, maps, packed_bytes)
             for one in vars(module).values() if isinstance(one, kept.Dispatcher)]
    print(sum(len(loop.overloads) for loop in loops), sum(len(loop.stats.cache_misses) for loop in loops))
    found = maps.throw_coins.overloads
    assert not found or maps.throw_coins((1, 2), 5, 0.5).tolist() == [%s]
"""


@pytest.mark.slow
def test_what_was_compiled_before_is_loaded_and_nothing_is_compiled(run_script, tmp_path):
    folder = {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    assert run_script(LOAD % "", **folder).out.split() == ["0", "0"]
    coins = run_script(USE, **folder).out
    assert coins.endswith("] False\n")
    values = coins[1 : coins.index("]")]
    assert run_script(LOAD % values, **folder).out.split() == ["1", "0"]
    assert run_script(USE, **folder).out.endswith("] True\n")


KINDS = """
    import sys
    import numpy as np
    from bf_batch import Batch, Dataset, ImagesBatch, action
    from bf_pipeline import Pipeline

    class Pictures(ImagesBatch):
        @action
        def look(self):
            self.labels = np.full(len(self), "bf_batch.images.kernels.kept" in sys.modules)
            return self

    class Numbers(Batch):
        components = ("labels",)
        look = Pictures.look

    for kind in (Numbers, Pictures):
        pipeline = Pipeline(Dataset(4, kind)).look()
        batches = pipeline.gen_batch(2, engine="processes", prefetch=1, workers=1)
        print([bool(batch.labels.all()) for batch in batches])
    assert "numba" not in sys.modules  # nor has the caller
"""


@pytest.mark.slow
def test_workers_of_images_have_them_and_others_do_not_wait_for_them(run_script):
    done = run_script(KINDS)
    assert done.code == 0, done.err
    assert done.out.split("\n")[:2] == ["[False, False]", "[True, True]"]
