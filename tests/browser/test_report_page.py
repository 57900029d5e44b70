"""What a person sees of the report of a sweep, in a real browser."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bf_research.domain.config import Config
from bf_research.report.report import write_report
from bf_research.sweep.journal import Journal
from bf_research.sweep.trial import Ended, Trial, TrialState

pytestmark = pytest.mark.browser

ATTACK = "<script>document.title='attacked'</script><img src=x onerror=\"document.title='attacked'\">"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of three models at three rates, three repetitions each, one of which fails."""
    folder = tmp_path_factory.mktemp("multirun") / "architectures"
    rng = np.random.default_rng(0)
    with Journal(
        folder, {"fixed": ["dataset=digits", "n_epochs=20"], "returns": ["validation/accuracy"]}
    ) as journal:
        for number in range(27):
            model, rate = ("lenet", "vgg7", "resnet18")[number // 3 % 3], (0.1, 0.01, 0.001)[number % 3]
            trial = Trial(Config({"model": model, "optimizer.learning_rate": rate}, number // 9), number)
            journal.begin(trial)
            if (model, rate) == ("vgg7", 0.1):
                error = f'Traceback (most recent call last):\n  File "model.py", line 3\nValueError: {ATTACK}'
                journal.end(Ended(trial, TrialState.FAILED, (), f"ValueError: {ATTACK}", error, 1.0))
                continue
            last = {"lenet": 0.85, "vgg7": 0.91, "resnet18": 0.95}[model] - 0.05 * abs(math.log10(rate) + 2)
            rows = [
                {
                    "iteration": 50 * epoch,
                    "validation/accuracy": last * (1 - math.exp(-epoch / 3)) + rng.normal(0, 0.008),
                    "train/loss": 2.3 * math.exp(-epoch / 4) + 1 - last + abs(rng.normal(0, 0.02)),
                }
                for epoch in range(1, 21)
            ]
            journal.end(Ended(trial, TrialState.DONE, tuple(rows), seconds=41.5))
    return write_report(folder, metric="validation/accuracy")


def read_rows(text: str, section: str) -> list[list[str]]:
    """Return the texts of the table of a section."""
    part = text[text.index(f'<section id="{section}">') :]
    rows = re.findall("<tr>(.*?)</tr>", part[: part.index("</table>")])
    return [
        [re.sub("<[^>]+>", "", cell) for cell in re.findall("<t[dh][^>]*>(.*?)</t[dh]>", row)] for row in rows
    ]


def test_the_ranking_can_be_read(report: Path, browse: Callable[..., str]) -> None:
    text = browse(report.as_uri(), "--dump-dom")
    head, *rows = read_rows(text, "ranking")
    assert head == ["", "model", "learning_rate", "validation/accuracy", "std", "n", "state"]
    assert [row[1:3] for row in rows[:2]] == [["resnet18", "0.01"], ["resnet18", "0.1"]] or rows[1][
        2
    ] == "0.001"
    assert rows[-1][1:3] + rows[-1][-1:] == ["vgg7", "0.1", "failed"]
    means = [float(row[3]) for row in rows[:-1]]
    assert means == sorted(means, reverse=True)
    assert means[0] == pytest.approx(0.95, abs=0.02)
    assert "model=resnet18, learning_rate=0.01" in text
    assert text.count('class="curve ') == 16  # of two metrics, the eight configurations that came to an end
    assert "<b>lenet</b>" in text  # what the best one would be with another model


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_curves_and_bars_are_drawn(report: Path, photograph: Callable[..., Path], scheme: str) -> None:
    # 0 is dark for chromium, 1 is light
    option = f"--blink-settings=preferredColorScheme={int(scheme == 'light')}"
    picture = photograph(report.as_uri(), f"report_{scheme}.png", option)
    with Image.open(picture) as opened:
        pixels = np.asarray(opened.convert("RGB"))
    back, first, second = {
        "light": ("ffffff", "2f6fd0", "e07b1a"),
        "dark": ("14171b", "6ea8ff", "ffa657"),
    }[scheme]

    def count(colour: str) -> int:
        return int((pixels == np.frombuffer(bytes.fromhex(colour), np.uint8)).all(axis=-1).sum())

    assert count(back) > 0.5 * pixels.shape[0] * pixels.shape[1]
    assert min(count(first), count(second)) > 100


def test_no_text_of_a_trial_is_run(report: Path, browse: Callable[..., str]) -> None:
    text = browse(report.as_uri(), "--virtual-time-budget=5000", "--dump-dom")
    assert "<title>Sweep " in text
    assert "attacked</title>" not in text
    assert "<script" not in text
    assert "&lt;script&gt;document.title" in text
