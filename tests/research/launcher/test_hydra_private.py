"""Private names of Hydra and OmegaConf: each is there, has its signature, and does what we need of it."""

from __future__ import annotations

import importlib
import inspect
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cloudpickle
import hydra
import omegaconf
import pytest
from hydra import compose, initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import ConfigRepository
from hydra._internal.config_search_path_impl import ConfigSearchPathImpl
from hydra._internal.logging_config import configure_logging
from hydra._internal.utils import get_args_parser
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Quote, QuotedString
from hydra.core.utils import JobReturn, JobStatus, _flush_loggers
from omegaconf import OmegaConf
from omegaconf._utils import get_omega_conf_dumper

from bf_command.cli import HYDRA_OPTIONS
from bf_research.launcher import hydra_private


def parse(*texts: str) -> list[Override]:
    return OverridesParser.create().parse_overrides(list(texts))


def test_the_versions_are_those_whose_private_names_are_known():
    assert hydra.__version__.startswith(("1.3.", "1.4."))
    assert omegaconf.__version__.startswith(("2.3.", "2.4."))


@pytest.mark.parametrize(
    ("function", "parameters"),
    [
        (ConfigLoaderImpl._apply_overrides_to_config, ["overrides", "cfg"]),
        (ConfigRepository, ["config_search_path"]),
        (ConfigRepository.load_config, ["self", "config_path"]),
        (ConfigSearchPathImpl.append, ["self", "provider", "path", "anchor"]),
        (Override._convert_value, ["value"]),
        (Override._get_value_element_as_str, ["value", "space_after_sep"]),
        (_flush_loggers, []),
        (get_omega_conf_dumper, []),
    ],
)
def test_a_private_function_has_the_signature_that_is_called(function: Any, parameters: list[str]):
    assert list(inspect.signature(function).parameters) == parameters


def test_logging_is_set_up_from_the_configuration_alone():
    config, *others = inspect.signature(configure_logging).parameters.values()
    assert config.name == "config"
    assert all(parameter.default is not parameter.empty for parameter in others)


SIMPLE = [
    "n=0",
    "n=5",
    "a.b=17",
    "lr=0.25",
    "lr=10.0",
    "x=abc",
    "x=True",
    "x=NULL",
    "x=nan",
    "x=Inf",
    "x=a-b.c/d",
]
SIMPLE += [
    "hydra.sweep.subdir=n-5_7e693ed7ab91",
    "x=00",
    "x=1e3",
    "x=-1",
    "x=1_0",
    "x=.5",
    "x=",
    "x=nano",
    "x=a.1",
]
SIMPLE += [
    "x='abc'",
    "x=[a]",
    "+x=5",
    "~x",
    "x@y=z",
    "x=a,b",
    "x=a_",
    "x=_a",
    "x=007a",
    "x=inf-3",
    "x=null.x",
    "x=a--",
]
SIMPLE += ["x=9007199254740993", "x=0.1000000000000001", "x=a//b", "a/b=c"]


@pytest.mark.parametrize("text", SIMPLE)
def test_an_override_read_without_the_grammar_is_the_one_read_with_it(text: str):
    parser = OverridesParser.create()
    read, whole = hydra_private.read_override(parser, text), parser.parse_overrides([text])[0]
    assert repr(read) == repr(whole)  # nan is not equal to itself


def test_the_main_file_is_read_as_it_is_written(tmp_path: Path):
    (tmp_path / "train.yaml").write_text("targets: [mine, '${oc.env:MORE}']")
    sources = [
        OmegaConf.create({"path": str(tmp_path / "none"), "schema": "file", "provider": "main"}),
        OmegaConf.create({"path": str(tmp_path), "schema": "file", "provider": "command-line"}),
        OmegaConf.create({"path": "", "schema": "structured", "provider": "schema"}),
    ]
    assert hydra_private.main_file(sources, "train") == {"targets": ["mine", "${oc.env:MORE}"]}
    assert hydra_private.main_file(sources, "nosuch") == {}
    assert hydra_private.main_file(sources, None) == {}
    read = hydra_private.read_overrides(["+targets=[a,b]", "targets.0=c", "~targets"])
    assert read == [("targets", ["a", "b"]), ("targets.0", "c"), ("targets", None)]


@pytest.fixture
def loader(tmp_path: Path) -> Iterator[Any]:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "small.yaml").write_text("depth: 1")
    (tmp_path / "train.yaml").write_text("defaults: [_self_, model: small]\nlr: 0.1")
    with initialize_config_dir(config_dir=str(tmp_path), version_base="1.3"):
        yield GlobalHydra.instance().hydra.config_loader


def test_groups_are_known_by_the_loader(loader: Any):
    assert hydra_private.is_hydras_own(loader)
    assert not hydra_private.is_hydras_own(object())
    assert hydra_private.group_exists(loader, "model")
    assert not hydra_private.group_exists(loader, "lr")


def test_overrides_are_set_with_hydras_own_errors(loader: Any):
    config = compose("train")
    hydra_private.apply_overrides(parse("lr=0.5", "+x=[a]", "model.depth=3"), config)
    assert config == {"lr": 0.5, "x": ["a"], "model": {"depth": 3}}
    with pytest.raises(Exception, match=r"(?s)Could not override 'nosuch'.*use \+nosuch=1"):
        hydra_private.apply_overrides(parse("nosuch=1"), config)


def test_the_name_of_a_folder_is_made_of_sorted_overrides(loader: Any):
    config = compose("train", return_hydra_config=True)
    config.hydra.job.config.override_dirname.exclude_keys = ["seed"]
    config.hydra.overrides.task = texts = ["lr=1", "seed=2", "b=3"]
    hydra_private.set_override_dirname(config, parse(*texts))
    assert config.hydra.job.override_dirname == "b=3,lr=1"


def test_swept_values_have_no_quotes():
    (override,) = parse("x=1,'a b',[c,'d'],{e: 'f'}")
    assert hydra_private.swept_values(override) == [1, "a b", ["c", "d"], {"e": "f"}]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "True"),
        (0.5, "0.5"),
        ("a", "a"),
        (QuotedString("a b", Quote.single), "'a b'"),
        ([1, {"a": 2}], "[1,{a:2}]"),
    ],
)
def test_values_are_written_in_the_grammar(value: Any, text: str):
    assert hydra_private.write_value(value) == text


def test_the_error_of_a_failed_job_is_read_without_raising_it():
    job = JobReturn()
    job.return_value = error = ValueError("bad")
    job.status = JobStatus.FAILED
    assert hydra_private.value_of(job) is error


def test_the_tasks_part_is_a_copy_and_hydras_part_stays():
    config = OmegaConf.create({"a": {"b": 1}, "c": "${hydra.name}", "hydra": {"name": "x", "seen": "${a.b}"}})
    OmegaConf.set_struct(config, True)
    own, part = hydra_private.split_config(config)
    assert OmegaConf.is_struct(own)
    own.a.b = 2
    assert list(own) == ["a", "c"]
    assert list(part) == ["hydra"]
    assert part.hydra.seen == 1
    assert list(config) == ["a", "c", "hydra"]


def test_yaml_reads_back_as_that_of_omegaconf():
    config = OmegaConf.create({"a": "yes", "b": "1e3", "c": [None, 1.5, True], "d": {"e": "x: y", "f": "ä"}})
    text = hydra_private.to_yaml(config)
    assert OmegaConf.create(text) == config
    assert text == OmegaConf.to_yaml(config)


def test_all_handlers_are_flushed():
    class Handler(logging.Handler):
        flushed = 0

        def flush(self) -> None:
            self.flushed += 1

    handler = Handler()
    hydra_private.flush_loggers()
    assert handler.flushed == 1


def test_classes_of_plugins_are_pickled_by_name():
    module = importlib.import_module("hydra_plugins.bf_launcher.gpu_launcher")
    twin = type("GpuLauncherConf", (), {"__module__": module.__name__})
    assert cloudpickle.loads(hydra_private.dumps([twin, 1])) == [module.GpuLauncherConf, 1]


def test_the_command_knows_all_options_of_hydra():
    actions = get_args_parser()._actions
    assert [text for action in actions for text in action.option_strings] == HYDRA_OPTIONS.split()
