"""The canary itself: each of its payloads kills it, and what takes memory is seen."""

from __future__ import annotations

import io
import os
import pickle

import numpy as np
import pytest

from tests.attacks.conftest import STRANGER


def test_every_payload_kills_the_canary(canary):
    os.system(canary.command)
    assert canary.dead
    canary.bury()
    eval(canary.expression)  # noqa: S307 - the payload itself
    assert canary.dead
    canary.bury()
    pickle.loads(pickle.dumps(canary.pickled))
    assert canary.dead
    canary.bury()


@pytest.mark.parametrize(
    "take",
    [
        pytest.param(lambda: np.empty(64 << 20, np.uint8), id="asked for"),
        pytest.param(lambda: io.BytesIO(b"0" * (64 << 20)), id="touched"),
    ],
)
def test_memory_that_is_taken_is_seen(canary, take):
    with pytest.raises(AssertionError, match="bytes were taken"), canary.memory(32 << 20):
        take()
    with canary.memory(32 << 20):
        np.empty(1 << 20, np.uint8)


def test_a_stranger_is_another_user(as_stranger):
    assert as_stranger(os.getuid) == STRANGER
    with pytest.raises(PermissionError):
        as_stranger(lambda: os.listdir("/root"))
