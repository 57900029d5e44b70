"""Optional libraries come in when they are used; threads serve the main thread only."""

from __future__ import annotations

import numpy as np
import pytest

from bf_batch.images.runtime import spread


def test_without_numba_the_error_says_what_to_install(run_script):
    finished = run_script(
        """
        import sys
        sys.modules["numba"] = None
        import numpy as np
        from bf_batch import ImagesBatch
        batch = ImagesBatch(2, preloaded={"images": np.zeros((2, 8, 8), np.uint8)})
        try:
            batch.rotate(10).images
        except ImportError as error:
            print(error)
        """
    )
    assert "pip install bf-batch[images]" in finished.out
    assert "'numba'" in finished.out


def test_importing_image_batches_loads_no_heavy_library(run_script):
    finished = run_script(
        """
        import sys
        from bf_batch import ImagesBatch
        from bf_batch.images import show
        print([name for name in ("numba", "PIL", "simplejpeg", "matplotlib", "scipy") if name in sys.modules])
        """
    )
    assert finished.out.strip() == "[]"


@pytest.mark.parametrize("many", [True, False])
def test_slices_cover_all_items_once(many):
    done = np.zeros(101, int)

    def work(rows):
        done[rows] += 1

    spread(101, work, many)
    assert (done == 1).all()


def test_the_first_error_of_a_slice_is_raised_when_all_ended():
    ended = []

    def work(rows):
        ended.append(rows.stop)
        if rows.start == 0:
            raise ValueError("bad")

    with pytest.raises(ValueError, match="bad"):
        spread(40, work)
    assert max(ended) == 40
