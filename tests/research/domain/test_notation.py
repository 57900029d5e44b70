"""One domain in all its spellings: in Python, in text, as data and on the command line."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from bf_research import Domain, Option, integers, loguniform, uniform
from bf_research.domain.notation import domain_from_data, domain_from_text
from bf_research.sweep.overrides import Keys, split_overrides
from bf_research.sweep.trial import Trial


def ids(domain: Domain) -> list[str]:
    """Trial ids in order."""
    return [Trial(config).id for config in domain]


def from_command_line(*overrides: str) -> Domain:
    """The domain of a command line."""
    return split_overrides(OverridesParser.create().parse_overrides(list(overrides)), Keys())[0]


ARCHITECTURES = Option("model", ["vgg7", "resnet18"])


@pytest.mark.parametrize(
    ("python", "data", "overrides"),
    [
        (
            ARCHITECTURES * Option("lr", [0.1, 0.01]),
            {"model": ["vgg7", "resnet18"], "lr": [0.1, 0.01]},
            ["model=vgg7,resnet18", "lr=.1,1e-2"],
        ),
        (
            ARCHITECTURES * (Option("lr", [0.1, 0.01]) @ Option("batch", [32, 64])),
            {"model": ["vgg7", "resnet18"], "zip": {"lr": [0.1, 0.01], "batch": [32, 64]}},
            ["model=choice(vgg7,resnet18)", "lr=tag(zip1,choice(.1,.01))", "batch=tag(zip1,choice(32,64))"],
        ),
        (
            Option("+model.depth", [1, 2, 3]),
            {"+model.depth": [1, 2, 3]},
            ["+model.depth=range(1,4)"],
        ),
        (
            Option("lr", loguniform(1e-4, 1e-1)) * Option("n", [1, 2]) * Option("k", integers(1, 100)),
            {"lr": {"loguniform": [1e-4, 1e-1]}, "n": [1, 2], "k": {"integers": {"low": 1, "high": 100}}},
            ["lr=tag(log,interval(1e-4,1e-1))", "n=1,2", "k=tag(int,interval(1,100))"],
        ),
        (
            Option("flag", [True, None]) * Option("text", ["a b", "it's", "1e3", "null", "x=1,y"]),
            {"flag": [True, None], "text": ["a b", "it's", "1e3", "null", "x=1,y"]},
            ["flag=true,null", "text='a b','it\\'s','1e3','null','x=1,y'"],
        ),
    ],
)
def test_equal_domains_give_equal_trial_ids_in_all_spellings(
    python: Domain, data: dict[str, Any], overrides: list[str]
) -> None:
    text = repr(python)
    keys = Keys()
    domains = [
        domain_from_text(text, keys.clean),
        domain_from_data(data, keys.clean),
        from_command_line(*overrides),
        domain_from_data(json.loads(json.dumps(data)), keys.clean),
    ]
    clean = domain_from_text(text.replace("'+", "'"))
    for domain in (clean, *domains):
        domain.set_iterator(seed=3)
    assert all(domain == clean for domain in domains)
    assert all(ids(domain) == ids(clean) for domain in domains)
    assert len(set(ids(clean))) == len(clean)


def test_sums_weights_and_conditions_are_spelt_in_yaml_and_text() -> None:
    data = [
        {"model": ["vgg16"], "zip": {"model.lr": [0.1, 0.01], "seed": [1, 2]}},
        {"weight": 0.3, "model": ["resnet18"], "model.lr": {"loguniform": [1e-4, 1e-1]}, "n": [1, 2]},
        {"n": [1, 2, 3], "where": "n > 1"},
    ]
    python = (
        Option("model", ["vgg16"]) * (Option("model.lr", [0.1, 0.01]) @ Option("seed", [1, 2]))
        + 0.3
        * Option("model", ["resnet18"])
        * Option("model.lr", loguniform(1e-4, 1e-1))
        * Option("n", [1, 2])
        + Option("n", [1, 2, 3]).where("n > 1")
    )
    assert domain_from_data(data) == domain_from_text(repr(python)) == python
    assert domain_from_data({"zip": [{"a": [1, 2], "b": [1, 2]}, {"c": [1, 2, 3, 4]}]}) == (
        Option("a", [1, 2]) * Option("b", [1, 2])
    ) @ Option("c", [1, 2, 3, 4])


@pytest.mark.parametrize(
    ("values", "spelled"),
    [
        (list(range(100)), "range(0, 100)"),
        (list(range(60, -3, -3)), "range(60, -1, -3)"),
        (list(range(19)), str(list(range(19)))),
        ([*range(20), 21], str([*range(20), 21])),
        ([True, *range(2, 30)], str([True, *range(2, 30)])),
        ([7] * 20, str([7] * 20)),
    ],
)
def test_many_whole_numbers_are_spelled_as_a_range(values: list[int], spelled: str) -> None:
    option = Option("n", values)
    assert repr(option) == f"Option('n', {spelled})"
    assert domain_from_text(repr(option)) == option


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("__import__('os').system('true')", "can't stand in a domain"),
        ("Optoin('a', [1])", "did you mean 'Option'"),
        ("Option('a', open('x'))", "unknown name 'open'"),
        ("Option('a', [1]) - Option('b', [1])", "can't stand"),
        ("Option('a', [1]) + 3", "can't be"),
        ("Option('a')", r"write Option\('name', \[values\]\)"),
        ("Option('a', uniform(1))", "does not fit"),
        ("Option('a', range(1.5))", "does not fit: 'float' object"),
        ("Option('a', range(10**4))", "can't stand in a domain"),
        ("Option('a', range(1, 100000000000000000000))", "has more than 1,000,000 values"),
        ("3 * 4", "has no option"),
        ("[1, 2]", "not a domain"),
        ("Option('a', [x for x in y])", "can't stand"),
        ("Option('a', [1]", "not an expression"),
        ("Option('a', [1]).where('b > 1')", "unknown option 'b'"),
    ],
)
def test_text_that_is_no_domain_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        domain_from_text(text)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"a": "xyz"}, "option 'a'"),
        ({"a": {"loguniforn": [1, 2]}}, "did you mean 'loguniform'"),
        ({"a": {"uniform": [1]}}, "does not fit"),
        ({"a": {"uniform": [1, 2], "normal": []}}, "one distribution"),
        ({"zip": 3}, "zip is a mapping"),
        ({"a": []}, "no values"),
        ([], "mapping of options"),
        (7, "mapping of options"),
        ({"weight": -1, "a": [1]}, "weight"),
        ({"~a": [1]}, "not deleted"),
    ],
)
def test_data_that_is_no_domain_is_refused(data: Any, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        domain_from_data(data, Keys().clean)


def test_values_of_a_distribution_are_python_numbers() -> None:
    config = next(iter(Option("a", uniform(0, 1)) * Option("b", integers(1, 3))))
    assert type(config["a"]) is float
    assert type(config["b"]) is int
