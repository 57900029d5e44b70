"""Texts of pipelines and domains that try to reach functions, private names, or the end of the memory."""

from __future__ import annotations

import contextlib
import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bf_batch import Batch, Dataset
from bf_pipeline import B, BindError, Pipeline, V, build
from bf_pipeline.context import Context, Scope
from bf_pipeline.expressions.base import Expr, evaluate
from bf_pipeline.expressions.restricted import METHODS
from bf_pipeline.expressions.text import read_expression
from bf_research import Domain, Option
from bf_research.domain.condition import Condition
from bf_research.domain.notation import domain_from_text

PRIVATE = [
    "B('_bf_data')",
    "B('__class__')",
    "D('__init__')",
    "D().attr('__init__').attr('__globals__')",
    "B().attr('_bf_data')",
    "L('x').attr('__class__')",
    "L('_x')",
    "V('v')['__builtins__']",
    "L('x')['__globals__']",
    "V('_hidden')",
    "M('_net')",
    "C('deep/_hidden')",
    "B('x').attr('mean').attr('__self__')",
    "Where(1, 2, D('__dict__'))",
    "W(D('__class__'))",
]


@pytest.mark.parametrize("text", PRIVATE)
def test_private_names(text):
    with pytest.raises(ValueError, match="is a private name"):
        read_expression(text)


def test_private_names_in_nodes_and_targets():
    node = {"_target_": "bf_pipeline.D", "_args_": ["__init__"]}
    for step in (
        {"add": {"value": node}},
        {"update": {"target": "=B('_bf_data')", "value": 1}},
        {"update": {"target": "=V('v').attr('__class__')", "value": 1}},
        {"update": {"target": "=V('v')['__class__']", "value": 1}},
        {"add": {"value": 1, "save_to": "=V('v').attr('__dict__')"}},
    ):
        with pytest.raises(BindError, match=r"steps\[0\].*is a private name"):
            build([step])


def test_private_steps():
    with pytest.raises(BindError, match=r"steps\[0\]\._secret: '_secret' is a private name"):
        build(["_secret"])


def test_private_keys():
    context = Context(Scope(config={}, variables={"v": {"_k": 1, "k": 2}, "name": "_k"}), None)
    with pytest.raises(ValueError, match="'_k' is a private name"):
        evaluate(read_expression("V('v')[V('name')]"), context)
    assert evaluate(read_expression("V('v')['k']"), context) == 2


class Trapped(Batch):
    """A batch with a method that must not be called, and one that gives it away."""

    components = ("x",)
    called: tuple[str, ...] = ()

    def canary(self, *args, **kwargs):
        type(self).called += ("canary",)

    @property
    def functions(self):
        return {"canary": self.canary}

    @property
    def selves(self):
        return [self]

    @property
    def all_functions(self):
        return [self.functions]


@pytest.fixture
def dataset():
    Trapped.called = ()
    return Dataset(4, Trapped, preloaded=np.arange(4.0))


@pytest.mark.parametrize(
    "text",
    [
        "B('canary')",
        "B().attr('canary')",
        "B('functions')['canary']",
        "L('selves').attr('canary')",
        "L('all_functions')['canary']",
        "D('batch_class')",
        "D().attr('batch_class').attr('canary')",
        "R(B('canary'))",
        "P(R(B().attr('canary')))",
        "R(D('batch_class'))",
        "R(B())",
    ],
)
def test_functions_handed_on(dataset, text):
    steps = [{"init_variable": {"name": "v"}}, {"update": {"target": "=V('v')", "value": f"={text}"}}]
    with pytest.raises(TypeError, match=r"text gives values only|no distribution"):
        build(steps, dataset).next_batch(2)
    assert Trapped.called == ()


@pytest.mark.parametrize(
    "text",
    [
        "B('canary')()",
        "B().attr('canary')()",
        "L('selves').attr('canary')()",
        "B('x').attr('tofile')('owned')",
        "B('x').attr('dump')('owned')",
        "V('v')()",
        "B('x')(1)",
    ],
)
def test_methods_off_the_list(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="can not be called"):
        read_expression(text)
    assert list(tmp_path.iterdir()) == []


def test_methods_of_other_objects(dataset):
    trap = SimpleNamespace(mean=lambda: Trapped.canary(trap))
    context = Context(Scope(config={}, variables={"v": trap, "all": [trap]}), None)
    for text in ("V('v').attr('mean')()", "L(V('all')).attr('mean')()"):
        with pytest.raises(TypeError, match="methods of arrays only, this is a SimpleNamespace"):
            evaluate(read_expression(text), context)
    assert Trapped.called == ()


def test_methods_on_the_list_give_what_numpy_gives():
    x = np.array([[3.0, -1.0], [2.0, 5.0]])
    context = Context(Scope(config={}, variables={}), SimpleNamespace(x=x))
    for text, wanted in (
        ("B('x').attr('mean')(axis=0)", x.mean(axis=0)),
        ("B('x').attr('reshape')(-1).attr('sum')()", x.sum()),
        ("L('x').attr('max')()", [3.0, 5.0]),
        ("abs(B('x') - 2)", abs(x - 2)),
        ("abs(-3)", 3),
    ):
        expression = read_expression(text)
        np.testing.assert_array_equal(evaluate(expression, context), wanted)
        assert repr(read_expression(repr(expression))) == repr(expression)


@pytest.mark.parametrize("function", ["=B('canary')", "=D().attr('__init__')", "=V('v')", "=B()"])
def test_call_of_an_expression(dataset, function):
    step = {"call": {"function": function, "_args_": [1]}}
    with pytest.raises(BindError, match=r"steps\[0\]"):
        build([step], dataset).next_batch(2)
    with pytest.raises(BindError, match=r"steps\[0\]"):
        build([{"call": [function, 1]}], dataset).next_batch(2)
    assert Trapped.called == ()


def test_call_of_a_name(dataset):
    seen = []
    build([{"call": ["see", "=B('x').attr('sum')()"]}], dataset, names={"see": seen.append}).next_batch(4)
    assert seen == [6.0]
    with pytest.raises(BindError, match="'canary'"):
        build([{"call": ["canary", 1]}], dataset, names={"see": seen.append}).next_batch(4)


def test_code_is_not_restricted(dataset):
    pipeline = Pipeline().init_variable("v").update(V("v"), B().attr("canary")()).call(B("canary"))
    (pipeline << dataset).next_batch(2)
    assert Trapped.called == ("canary", "canary")


BOMBS = [
    "9**9**9",
    "9**(9**9)",
    "1 << 9999999999",
    "2**4095 * 2**4095",
    "'a' * 10**10",
    "10**10 * b'a'",
    "[0] * 99999999999",
    "[[[0] * 1000] * 1000] * 1000",
    "(1, 2) * 10**9",
    "'%9999999999d' % 1",
    "R('normal', size=(99999, 99999))",
    "-" * 5_000 + "1",
    "(" * 250 + "1" + ")" * 250,
    "[" * 150 + "]" * 150,
    "1" * 5_000,
    "1+" * 60_000 + "1",
    "1 / 0",
    "9.0**9999",
    "[1][5]",
    "{[]: 1}",
    "\0",
]


@pytest.mark.parametrize("text", BOMBS, ids=lambda text: text[:20].replace("\0", "NUL"))
def test_bombs(text):
    with pytest.raises(
        ValueError, match=r"bits|entries|nested|letters|not an expression|filled in|by zero|size|'"
    ):
        read_expression(text)


def test_bombs_are_named_with_their_step():
    with pytest.raises(BindError, match=r"steps\[0\]\.update: '9\*\*9\*\*9': .* more than 4096 bits"):
        build([{"update": {"target": "=V('v')", "value": "=9**9**9"}}])


@pytest.mark.parametrize(
    ("text", "variables"),
    [
        ("V('a') ** V('b')", {"a": 9, "b": 9**9}),
        ("V('a') * 10**9", {"a": "x"}),
        ("V('a') % 1", {"a": "%9999999999d"}),
    ],
)
def test_bombs_of_a_run(text, variables):
    with pytest.raises(ValueError, match=r"text gives no more|filled in"):
        evaluate(read_expression(text), Context(Scope(config={}, variables=variables), None))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2**100", 2**100),
        ("-7 // 2 + 3 * 5 % 4", -7 // 2 + 3 * 5 % 4),
        ("1 << 100", 1 << 100),
        ("[1, 2] * 3", [1, 2, 1, 2, 1, 2]),
        ("(2 + 1j) * 2", 4 + 2j),
        ("2 ** -3", 0.125),
        ("'a' + 'b'", "ab"),
    ],
)
def test_numbers_within_the_bounds_are_those_of_python(text, value):
    assert read_expression(text) == value


def test_lists_inside_lists():
    laughs = ["ha"]
    for _ in range(30):
        laughs = [laughs, laughs]
    with pytest.raises(ValueError, match="more than 1000000 parts"):
        build([{"add": laughs}])
    deep = []
    for _ in range(500):
        deep = [deep]
    with pytest.raises(ValueError, match="100 levels deep"):
        build([{"add": deep}])


def test_what_could_not_be_read_back_is_not_written():
    for value in (B("_bf_data"), V("f")(1), B("x").attr("tofile")("a")):
        with pytest.raises(TypeError, match=r"steps\[0\]\.add\[0\]: what is written could not be read back"):
            Pipeline().add(value).to_yaml()


@pytest.mark.parametrize(
    "text", ["'a' * 10**10 == b", "'a' * 9999999999 == b", "[0] * 9999999999 == b", "'%999999999d' % 1 == b"]
)
def test_conditions(text):
    with pytest.raises(ValueError, match=r"where\(|entries|filled in"):
        list(Domain(Option("b", [1])).where(text))
    with pytest.raises(ValueError, match="nested"):
        Condition("not " * 5_000 + "b")


def test_domains():
    for text in ("-" * 5_000 + "1", "Option('a', [{[]: 1}])", "Option('a', [__import__('os')])"):
        with pytest.raises(ValueError, match="domain"):
            domain_from_text(text)


# A fuzz of the grammar: whatever is read and evaluated, no function is reached or called.

PUBLIC = (
    "canary functions x T selves shape dtype type tofile base data flat batch_class index gi_frame ctypes"
)
PRIVATE_NAMES = "__class__ __init__ __globals__ _bf_data"
NAMES = st.sampled_from([*sorted(METHODS), *PUBLIC.split(), *PRIVATE_NAMES.split()])
SIGNS = st.sampled_from(["+", "*", "**", "%", "<<", "@", "==", "<"])
TEXTS = NAMES.map(repr)
ATOMS = st.one_of(
    TEXTS,
    st.integers(-9, 99).map(str),
    st.sampled_from(["B()", "D()", "V('v')", "V('f')", "M('m')", "C('c')", "[]", "()", "None", "..."]),
    st.builds("{}({})".format, st.sampled_from(["B", "D", "L", "V", "C", "M", "R", "I"]), TEXTS),
)


def grow(inner):
    return st.one_of(
        st.builds("{}.attr({})".format, inner, TEXTS),
        st.builds("{}.attr({})".format, inner, inner),
        st.builds("{}[{}]".format, inner, inner),
        st.builds("{}({})".format, inner, inner),
        st.builds("{}.attr({})({})".format, inner, TEXTS, inner),
        st.builds("{}.{}".format, inner, NAMES),
        st.builds(
            "({} {} {})".format, inner, st.sampled_from(["+", "*", "**", "%", "<<", "@", "==", "<"]), inner
        ),
        st.builds("{}({})".format, st.sampled_from(["L", "P", "R", "W", "abs", "-", "eval", "F"]), inner),
        st.builds("R({}, {}, size={})".format, inner, inner, inner),
        st.builds("Where({}, {}, {})".format, inner, inner, inner),
        st.builds("[{}, {}]".format, inner, inner),
        st.builds("{{{}: {}}}".format, inner, inner),
        st.builds("L([{}]).attr({})({})".format, inner, TEXTS, inner),
    )


def holds_function(value):
    """Whether a value that an expression gave is a function that no one gave to the pipeline."""
    if isinstance(value, list | tuple):
        return any(map(holds_function, value))
    return callable(value) and not isinstance(value, Expr) and value is not math.sqrt


class Canary:
    """An object whose every public function notes that it was called."""

    calls: tuple[str, ...] = ()

    def __call__(self, *args, **kwargs):
        Canary.calls += ("called",)

    canary = mean = sum = rvs = values = sample = draw = __call__
    functions = {"canary": canary}
    x = np.arange(4.0)
    gi_frame = SimpleNamespace(f_globals=globals())


def given_frame():
    """A generator, whose frame leads to all modules."""
    yield 1


@settings(deadline=None, derandomize=True, max_examples=150, database=None)
@given(st.recursive(ATOMS, grow, max_leaves=6))
def test_fuzz_of_the_grammar(text):
    Canary.calls = Trapped.called = ()
    scope = Scope(
        config={"c": 3},
        variables={"v": given_frame(), "f": math.sqrt, "x": np.arange(4.0)},
        dataset=SimpleNamespace(batch_class=Canary, index=Canary(), x=Canary(), canary=Canary.canary),
    )
    context = Context(scope, Dataset(4, Trapped, preloaded=np.arange(4.0)).next_batch(4))
    with contextlib.suppress(ValueError, TypeError, LookupError, AttributeError, ArithmeticError):
        assert not holds_function(evaluate(read_expression(text), context)), text
    assert Canary.calls == ()
    assert Trapped.called == ()


@pytest.mark.parametrize("name", [".bashrc", "sitecustomize.py", "authorized_keys", "evil.pth", "run.sh"])
def test_tables_under_names_that_something_obeys(tmp_path, name):
    """The words of a column are all the text that a shell needs."""
    pytest.importorskip("pandas")

    class Words(Batch):
        components = ("x",)

    dump = {"dst": str(tmp_path / name), "fmt": "csv", "src": "x", "header": ["touch ran #"], "index": False}
    data = Dataset(2, Words, preloaded={"x": np.arange(2)})
    for kind in ("csv", "parquet"):
        with pytest.raises(ValueError, match=rf"is no name of a {kind} file; it ends in one of \.{kind}, "):
            build({"steps": [{"dump": {**dump, "fmt": kind}}]}, data).run(2, n_epochs=1)
    assert not list(tmp_path.iterdir())
    build({"steps": [{"dump": {**dump, "dst": str(tmp_path / "good.tsv")}}]}, data).run(2, n_epochs=1)
    assert (tmp_path / "good.tsv").exists()
