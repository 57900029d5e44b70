"""Trainings on data of one's own: what is found out, and what is told before the first iteration."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pandas
import pytest
from omegaconf import DictConfig, OmegaConf
from PIL import Image
from sklearn.datasets import load_diabetes, load_sample_images
from sklearn.utils.class_weight import compute_class_weight

from bf_batch import Dataset, ImagesBatch
from bf_research.recipe.data import make_dataset, split_validation
from bf_research.recipe.found import balance, choose_side, find_out
from bf_research.recipe.pipelines import as_plain
from bf_research.recipe.steps import complete_text, describe_steps
from bf_research.train import train

ROOT = Path(__file__).parents[2]
SMALL = ["tracking=none", "n_iters=2", "batch_size=4", "bar=false", "prefetch=0"]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name, photo in zip(("china", "flower"), load_sample_images().images, strict=True):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(15):
            crop = photo[10 * number : 10 * number + 70, : 40 + number]
            Image.fromarray(crop).save(tmp_path / "photos" / name / f"{number}.png")
    return tmp_path / "photos"


def found_out(config: DictConfig) -> DictConfig:
    dataset = make_dataset(as_plain(config.dataset))[0]
    return find_out(config, dataset, split_validation(config, dataset)[0])


def test_class_folders_train_at_the_first_try(configure, photos: Path, caplog) -> None:
    caplog.set_level(logging.INFO)
    outcome = train(configure("dataset=image_folder", f"dataset.path={photos}", "model=lenet"))
    assert set(outcome.metrics) >= {"validation/accuracy", "test/accuracy", "test/loss"}
    assert "2 classes: china, flower" in caplog.text
    assert "pipeline.size=32" in caplog.text


def test_what_is_found_out_stands_in_the_configuration(configure, photos: Path) -> None:
    config = configure("dataset=image_folder", f"dataset.path={photos}", "validation=null")
    done = found_out(config)
    assert (done.pipeline.size, done.pipeline.mode) == (32, "rgb")
    assert as_plain(done.pipeline.load) == [{"load": {"fmt": "image", "mode": "rgb"}}]
    dataset = make_dataset(as_plain(config.dataset))[0]
    pictures = [np.asarray(Image.open(photos / name)) / 255 for name in dataset.train.indices]
    mean = np.mean([picture.mean(axis=(0, 1)) for picture in pictures], axis=0)
    squares = np.mean([(picture**2).mean(axis=(0, 1)) for picture in pictures], axis=0)
    np.testing.assert_allclose(done.pipeline.mean, mean, atol=1e-5)
    np.testing.assert_allclose(done.pipeline.std, np.sqrt(squares - mean**2), atol=1e-5)
    said = found_out(configure("dataset=image_folder", f"dataset.path={photos}", "pipeline.size=40"))
    assert said.pipeline.size == 40
    published = configure("dataset=image_folder", f"dataset.path={photos}", "pipeline.mean=imagenet")
    assert list(found_out(published).pipeline.mean) == [0.485, 0.456, 0.406]


def test_fewer_items_than_a_batch_has_are_trained_on(configure, photos: Path, caplog) -> None:
    caplog.set_level(logging.INFO)
    folder = ("dataset=image_folder", f"dataset.path={photos}", "model=lenet", "batch_size=64")
    assert train(configure(*folder)).iterations == 2
    assert "batch_size=64 is more than the 22 items to train on" in caplog.text


MISTAKES = {
    "pipeline.augment=[flip,{rotat: 5}]": r"pipeline\.augment\[1\]\.rotat: unknown action .*mean 'rotate'",
    "pipeline.augment=[{flip: {mod: lr}}]": r"pipeline\.augment\[0\]\.flip: unknown argument 'mod'.*'mode'",
    "pipeline.load=[{load: {mdoe: rgb}}]": "unknown argument 'mdoe' of load for pictures.*'mode'",
    "pipeline.train=[{train_modl: {name: net}}]": "unknown action 'train_modl' .*did you mean 'train_model'",
    "pipeline.mixup={alfa: 0.2}": r"pipeline\.mixup: unknown argument 'alfa' of action 'mixup'.*'alpha'",
    "pipeline.rand_augment={m: 2}": r"pipeline\.rand_augment: unknown argument 'm'",
    "+pipeline.agument=[{flip: {}}]": "unknown list of steps 'agument' of pipeline; did you mean 'augment'",
}


@pytest.mark.parametrize(("setting", "message"), MISTAKES.items(), ids=MISTAKES)
def test_a_wrong_step_or_argument_is_told_where_it_stands(configure, photos: Path, setting, message) -> None:
    with pytest.raises(Exception, match=message) as caught:
        train(configure("dataset=image_folder", f"dataset.path={photos}", setting))
    assert "batch 0" not in str(caught.value)


def test_switches_of_augmentation_train(configure, photos: Path) -> None:
    switches = ("pipeline.rand_augment={n: 1}", "class_weights=balanced", "pipeline.size=32")
    folder = ("dataset=image_folder", f"dataset.path={photos}", "model=lenet")
    assert train(configure(*folder, *switches, "pipeline.cutmix={alpha: 1.0}")).iterations == 2
    with pytest.raises(ValueError, match="mixup and cutmix are two ways"):
        train(configure(*folder, "pipeline.mixup={alpha: 1}", "pipeline.cutmix={alpha: 1}"))


def test_several_columns_are_learnt_at_once_each_in_its_unit(configure, tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    rows = rng.normal(size=(120, 3))
    frame = pandas.DataFrame(rows, columns=["a", "b", "c"])
    frame["far"], frame["near"] = 1000 + 50 * rows[:, 0], 0.01 * rows[:, 1]
    frame.to_csv(tmp_path / "two.csv", index=False)
    table = ("dataset=csv", "dataset.path=two.csv", "dataset.target=[far,near]", "task=regression")
    outcome = train(configure(*table, "n_iters=200", "batch_size=32", "optimizer.learning_rate=0.01"))
    assert outcome.metrics["test/r2"] > 0.9, "the mean over both: neither is left out"


def test_a_table_of_numbers_is_a_regression(configure, tmp_path: Path) -> None:
    frame = load_diabetes(as_frame=True, scaled=False).frame
    frame.to_csv(tmp_path / "d.csv", index=False)
    table = ("dataset=csv", "dataset.path=d.csv", "dataset.target=target", "task=regression")
    outcome = train(configure(*table))
    assert set(outcome.metrics) >= {"test/mae", "test/rmse", "test/r2", "validation/mae"}
    done = found_out(configure(*table, "validation=null"))
    assert list(done.dataset.features) == list(frame.columns[:-1])
    rows = make_dataset(as_plain(done.dataset))[0].train
    values = frame.drop(columns="target").to_numpy()[rows.indices]
    np.testing.assert_allclose(done.pipeline.mean, values.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(done.pipeline.std, values.std(axis=0), rtol=1e-5)


def test_targets_are_learnt_scaled_and_told_in_their_unit(configure, tmp_path: Path) -> None:
    """Prices of millions are learnt in a few steps, and metrics and predictions have them as they are."""
    rng = np.random.default_rng(0)
    x = rng.random(200)
    pandas.DataFrame({"x": x, "price": 5e6 + 4e5 * x}).to_csv(tmp_path / "p.csv", index=False)
    table = ("dataset=csv", "dataset.path=p.csv", "dataset.target=price", "task=regression", "n_iters=150")
    rates = ("optimizer.learning_rate=0.01", "batch_size=32")
    done = found_out(configure(*table, "validation=null"))
    prices = (5e6 + 4e5 * x)[make_dataset(as_plain(done.dataset))[0].train.indices]
    np.testing.assert_allclose([done.task.mean, done.task.std], [prices.mean(), prices.std()], rtol=1e-6)
    scaled = train(configure(*table, *rates)).metrics
    assert scaled["test/r2"] > 0.95
    assert scaled["test/rmse"] == pytest.approx(scaled["test/loss"] ** 0.5 * prices.std(), rel=0.05)
    plain = train(configure(*table, *rates, "task.mean=null", "task.std=null")).metrics
    assert plain["test/rmse"] > 100 * scaled["test/rmse"]
    with pytest.raises(ValueError, match=r"unknown value 'aut' of task\.std; did you mean 'auto'"):
        found_out(configure(*table, "task.std=aut"))


def test_a_scale_that_is_given_counts_where_none_is_found_out(configure, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("\n".join(["x,y", *(f"{k},{k}" for k in range(30))]))
    table = ("dataset=csv", "dataset.path=t.csv", "dataset.target=y", "task=regression", "validation=null")
    made = ("pipeline.targets='=B(\"labels\") * 2'",)  # of a step: it is not at hand
    done = found_out(configure(*table, *made, "task.std=2.5"))
    assert (done.task.mean, done.task.std) == (None, 2.5)
    assert "/ 2.5" in done.task.targets
    assert found_out(configure(*table, *made)).task.std is None


def test_names_of_the_data_write_nothing_to_the_terminal(configure, tmp_path: Path, caplog) -> None:
    caplog.set_level(logging.INFO)
    (tmp_path / "t.csv").write_text(
        "\n".join(["x\x1b[2J,y", *(f"{k},{'ab'[k % 2]}\x1b[1A" for k in range(30))])
    )
    table = ("dataset=csv", "dataset.path=t.csv", "dataset.target=y", "validation=null")
    assert list(found_out(configure(*table)).dataset.features) == ["x\x1b[2J"]
    assert r"classes: a\x1b[1A, b\x1b[1A" in caplog.text
    assert r"dataset.features=[x\x1b[2J]" in caplog.text
    assert "\x1b" not in caplog.text


def test_columns_of_texts_and_gaps_are_part_of_what_is_found_out(configure, tmp_path: Path) -> None:
    colours = ["red", "${oc.env:HOME}", "blue", ""] * 10
    lines = [f"{colour},{k if k % 7 else ''},{k % 2}" for k, colour in enumerate(colours)]
    (tmp_path / "t.csv").write_text("\n".join(["colour,a,y", *lines]))
    table = (
        "dataset=csv",
        "dataset.path=t.csv",
        "dataset.target=y",
        "dataset.missing=fill",
        "validation=null",
    )
    done = found_out(configure(*table))
    known = ["${oc.env:HOME}", "blue", "red"]
    assert as_plain(done.dataset)["categories"] == {"colour": known}
    dataset = make_dataset(as_plain(done.dataset))[0]
    numbers = [k for k in dataset.train.indices.tolist() if k % 7]
    assert done.dataset.fills.a == pytest.approx(np.mean(numbers))
    assert list(done.pipeline.mean)[:3] == [0, 0, 0]
    assert list(done.pipeline.std)[:3] == [1, 1, 1]
    assert train(configure(*table)).iterations == 2
    asked = found_out(configure(*table, "dataset.categories=[a]"))
    assert set(as_plain(asked.dataset)["categories"]) == {"colour", "a"}


def test_pictures_at_hand_need_no_loading(configure) -> None:
    done = found_out(configure("dataset=mnist", "pipeline=photos"))
    assert (done.pipeline.size, done.pipeline.mode, list(done.pipeline.load)) == (28, "gray", [])


def test_a_part_of_its_own_is_what_is_validated_on(configure, tmp_path: Path) -> None:
    lines = [f"{k},{k % 2},{('train', 'train', 'test', 'val')[k // 2 % 4]}" for k in range(16)]
    (tmp_path / "t.csv").write_text("\n".join(["a,y,part", *lines]))
    config = configure("dataset=csv", "dataset.path=t.csv", "dataset.target=y", "dataset.part=part")
    dataset = make_dataset(as_plain(config.dataset))[0]
    training, validation = split_validation(config, dataset)
    assert (len(training), len(validation), len(dataset.test)) == (8, 4, 4)
    share = configure("dataset=csv", "dataset.path=t.csv", "validation.part=null", "validation.share=0.25")
    assert [len(part) for part in split_validation(share, dataset)] == [6, 2]


def test_a_word_that_means_nothing_is_named(configure, photos: Path) -> None:
    folder = ("dataset=image_folder", f"dataset.path={photos}")
    for setting in ("pipeline.size=autos", "pipeline.mean=imagnet", "class_weights=balanced2"):
        with pytest.raises(
            ValueError, match=f"unknown value .* of {setting.partition('=')[0]}; did you mean"
        ):
            found_out(configure(*folder, setting))


def test_weights_of_classes_are_those_of_scikit_learn() -> None:
    labels = np.array([0] * 5 + [1] * 2 + [2])
    dataset = Dataset(8, ImagesBatch, preloaded={"labels": labels}, num_classes=3)
    want = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    np.testing.assert_allclose(balance(dataset, dataset), want, rtol=1e-5)


@pytest.mark.parametrize(
    ("sizes", "side"),
    [([[28, 28]] * 3, 28), ([[8, 8]], 32), ([[375, 500]], 224), ([[100, 150], [90, 99]], 64)],
)
def test_sides_of_pictures(sizes: list[list[int]], side: int) -> None:
    assert choose_side(np.array(sizes)) == side


def test_steps_are_listed_with_arguments_and_a_sentence(configure) -> None:
    text = describe_steps(configure("dataset=cifar10"))  # without a download
    assert "  flip(mode='lr', p=1.0, fuse=True, src='images', dst=None)\n    Mirror pictures:" in text
    assert all(f"  {name}(" in text for name in ("load", "fit", "random_resized_crop", "train_model"))
    assert max(map(len, text.splitlines())) <= 120
    rows = describe_steps(configure("dataset=csv"))  # without a path
    assert "  normalize(mean=None, std=None, by=None)\n    Replace features" in rows
    assert "flip" not in rows


def test_a_printed_configuration_has_what_is_found_out(configure, photos: Path) -> None:
    config = configure("dataset=image_folder", f"dataset.path={photos}")
    printed = OmegaConf.create(complete_text(OmegaConf.to_yaml(config)))
    assert printed.pipeline.size == 32
    assert OmegaConf.to_yaml(printed.pipeline.mean) == OmegaConf.to_yaml(found_out(config).pipeline.mean)
    gone = OmegaConf.to_yaml(configure("dataset=image_folder", "dataset.path=gone"))
    assert complete_text(gone).splitlines()[-1].startswith("# not found out: no folder 'gone'")
    other = OmegaConf.to_yaml(configure())
    assert complete_text(other) == other


def test_steps_are_an_option_of_the_command(run_script) -> None:
    done = run_script(f"""
        import runpy, sys
        sys.argv = ["train.py", "--steps", "dataset=csv"]
        runpy.run_path({str(ROOT / "train.py")!r}, run_name="__main__")
    """)
    assert done.code == 0
    assert done.out.startswith("Steps of RowsBatch")
