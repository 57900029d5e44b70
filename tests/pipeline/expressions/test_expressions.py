"""Named expressions: a tree of frozen values."""

from __future__ import annotations

import copy
import operator
import pickle

import numpy as np
import pytest

from bf_batch import PerItem
from bf_index import Place
from bf_pipeline import PP, B, BindError, C, D, F, I, L, M, NumpySampler, P, Pipeline, R, V, W, Where
from bf_pipeline.context import Context, Scope
from bf_pipeline.expressions.base import evaluate, lift


@pytest.fixture
def context(dataset):
    scope = Scope(
        dataset=dataset,
        config={"model": {"lr": 0.1}, "a/b": 5, "n": 3},
        seed=7,
        variables={"v": 2, "list": [1, 2, 3]},
    )
    scope.plan = dataset.index.gen_batch(4).plan
    place = Place(0, 1, slice(4, 8))
    return Context(scope, dataset.create_batch(place, seed=7), place)


def test_each_name_reads_its_place(context, dataset):
    assert B().evaluate(context) is context.batch
    assert B("x").evaluate(context).tolist() == [4, 5, 6, 7]
    assert C("model/lr").evaluate(context) == 0.1
    assert C("a/b").evaluate(context) == 5
    assert C("zz", None).evaluate(context) is None
    assert C("zz", V("v")).evaluate(context) == 2
    assert C().evaluate(context)["n"] == 3
    assert D().evaluate(context) is dataset
    assert D("classes").evaluate(context) == 2
    assert V("list").evaluate(context) is context.scope.variables["list"]
    assert W(V("v")).evaluate(context).name == "v"
    assert (I().evaluate(context), I("maximum").evaluate(context), I("ratio").evaluate(context)) == (
        2,
        3,
        2 / 3,
    )
    assert (I("c").evaluate(context), I("m").evaluate(context)) == (2, 3)


def test_a_missing_config_path_names_close_ones(context):
    with pytest.raises(KeyError, match="did you mean 'model/lr'"):
        C("model/rl").evaluate(context)


@pytest.mark.parametrize(
    "name", ["add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "lt", "le", "gt", "ge", "eq", "ne"]
)
def test_operators_work_from_both_sides(context, name):
    function = getattr(operator, name)
    assert evaluate(function(V("v"), 5), context) == function(2, 5)
    assert evaluate(function(5, V("v")), context) == function(5, 2)


@pytest.mark.parametrize("name", ["and_", "or_", "xor", "lshift", "rshift"])
def test_operators_of_bits_work_from_both_sides(context, name):
    function = getattr(operator, name)
    assert evaluate(function(V("v"), 5), context) == function(2, 5)
    assert evaluate(function(5, V("v")), context) == function(5, 2)


def test_signs_and_arrays_and_matrix_products(context):
    assert evaluate(-V("v"), context) == -2
    assert evaluate(~V("v"), context) == ~2
    assert evaluate(abs(-V("v")), context) == 2
    assert evaluate(np.arange(4) + B("x"), context).tolist() == [4, 6, 8, 10]
    assert evaluate(np.ones(4) @ B("x"), context) == 22


def test_items_attributes_slices_and_calls(context):
    assert evaluate(B("x")[V("v")], context) == 6
    assert evaluate(B("x")[1 : V("v")], context).tolist() == [5]
    assert evaluate(B("x").attr("shape")[0], context) == 4
    assert evaluate(B("x").attr("sum")(), context) == 22
    assert evaluate(F(max)(V("v"), 7), context) == 7
    assert evaluate(F(dict), context) == {}
    assert evaluate(F(lambda: len)()(V("list")), context) == 3


def test_containers_are_searched_at_any_depth_keys_too(context):
    value = lift({V("v"): [1, (B("x")[0], slice(V("v"), None))], "plain": {"set": {1}}})
    assert evaluate(value, context) == {2: [1, (4.0, slice(2, None, None))], "plain": {"set": {1}}}
    plain = [1, {"a": (2, 3)}]
    assert lift(plain) is plain


def test_lists_map_over_the_items(context):
    assert L("x").evaluate(context) == [4, 5, 6, 7]
    assert L(V("list")).attr("bit_length")().evaluate(context) == [1, 2, 2]
    assert L("x").attr("real")[()].evaluate(context) == [4, 5, 6, 7]


def test_where_evaluates_only_the_chosen_side(context):
    assert Where(V("v") == 2, "two", C("zz")).evaluate(context) == "two"
    assert Where(B("x") > 5, B("x"), 0).evaluate(context).tolist() == [0, 0, 6, 7]


@pytest.mark.parametrize(
    "distribution",
    [
        "uniform",
        5,
        ["a", "b", "c"],
        np.arange(3),
        NumpySampler("normal"),
        lambda size, rng: rng.normal(size=size),
    ],
    ids=["name", "int", "list", "array", "sampler", "function"],
)
def test_random_values_depend_on_seed_and_place_only(context, distribution):
    first, again = R(distribution), Context(context.scope, context.batch, context.place)
    assert np.array_equal(R(distribution, size=6).evaluate(context), R(distribution, size=6).evaluate(again))
    assert np.ndim(first.evaluate(context)) == 0
    assert np.shape(P(first).evaluate(context).values) == (4,)
    elsewhere = Context(context.scope, context.batch, Place(0, 2, slice(4, 8)))
    many = R("uniform", size=6)
    assert not np.array_equal(
        many.evaluate(Context(context.scope, None, context.place)), many.evaluate(elsewhere)
    )


def test_scipy_distributions_and_plain_callables(context):
    scipy_stats = pytest.importorskip("scipy.stats")
    frozen = scipy_stats.norm(loc=100)
    again = Context(context.scope, context.batch, context.place)
    assert P(R(frozen)).evaluate(context).values.tolist() == P(R(frozen)).evaluate(again).values.tolist()
    assert 90 < R(frozen).evaluate(context) < 110
    assert P(R(lambda size: np.arange(size))).evaluate(context).values.tolist() == [0, 1, 2, 3]
    assert R(lambda size: np.arange(size)).evaluate(context) == 0


def test_arguments_of_a_distribution_may_be_expressions(context):
    drawn = P(R("uniform", V("v"), V("v") + 1)).evaluate(context).values
    assert np.all((drawn >= 2) & (drawn < 3))
    assert R("integers", V("v"), 3).evaluate(context) == 2
    assert R("normal", size=(2, 3)).evaluate(context).shape == (2, 3)
    assert P(R("normal", size=2)).evaluate(context).values.shape == (4, 2)


def test_two_draws_of_one_step_differ(context):
    left, right = evaluate(lift([R("uniform"), R("uniform")]), context)
    assert left != right


def test_per_item_values_are_one_for_each_item(context):
    dealt = P([1, 2, 3, 4]).evaluate(context)
    assert isinstance(dealt, PerItem)
    assert list(dealt) == [1, 2, 3, 4]
    shifted = P(R("uniform", 0, 1) + 10).evaluate(context)
    assert len(set(shifted.values)) == 4
    with pytest.raises(ValueError, match="got 3 values for a batch of 4"):
        P([1, 2, 3]).evaluate(context)
    with pytest.raises(TypeError, match="single value 2"):
        P(V("v")).evaluate(context)
    with pytest.raises(TypeError, match="one value per item"):
        P(5)


def test_sampler_of_two_coordinates_gives_rows(context):
    both = NumpySampler("normal") & NumpySampler("uniform")
    assert P(R(both)).evaluate(context).values.shape == (4, 2)
    assert R(both).evaluate(context).shape == (2,)


@pytest.mark.parametrize(
    ("use", "advice"),
    [
        (lambda e: bool(e == 3), "Where"),
        (lambda e: 1 if e else 2, "Where"),
        (lambda e: not e, "Where"),
        (list, "not iterable"),
        (len, "no length"),
        (lambda e: 3 in e, "can not look into"),
        (lambda e: f"net-{e}.pt", "F\\("),
        (np.mean, "numpy can not take"),
        (lambda e: np.array([e, 1]), "numpy can not take"),
    ],
)
def test_what_needs_a_value_now_is_refused_with_advice(use, advice):
    with pytest.raises(TypeError, match=advice):
        use(V("x"))


def test_wrong_expressions_are_refused_where_they_are_written():
    with pytest.raises(ValueError, match="did you mean 'uniform'"):
        R("unifrom", 0, 1)
    with pytest.raises(TypeError, match="R takes no seed"):
        R("uniform", seed=3)
    with pytest.raises(TypeError, match="R needs"):
        R(3.5)
    with pytest.raises(ValueError, match="did you mean"):
        I("currnet")
    with pytest.raises(ValueError, match="mode must be"):
        V("x", mode="append")
    with pytest.raises(TypeError, match="needs a function"):
        F(3)


EVERY = [
    B(),
    B("x"),
    B("x", mode="a"),
    C(),
    C("a/b"),
    C("a", 3),
    D(),
    D("classes"),
    F(len),
    F(max)(B("x"), key=len),
    I(),
    I("ratio"),
    L("x").attr("shape")[0],
    M("net"),
    P(R("uniform", -10, 10)),
    R("normal", size=(2, 3)),
    V("v", mode="e"),
    W(V("v")),
    Where(V("a") > 1, B("x"), [B("y"), {"k": 2}]),
    (1 - V("a")) ** 2 @ -B("x")[1:, V("n")],
]


@pytest.mark.parametrize("expression", EVERY, ids=map(repr, EVERY))
def test_expressions_are_frozen_and_survive_pickling_and_copying(expression):
    assert repr(pickle.loads(pickle.dumps(expression))) == repr(expression)
    assert repr(copy.deepcopy(expression)) == repr(expression)
    for name in ("name", "function", "new"):
        with pytest.raises((AttributeError, TypeError)):
            setattr(expression, name, 1)
    assert not hasattr(expression, "__dict__")


def test_an_expression_reads_like_its_code():
    assert repr((1 - V("a")) / B("x")[1:, V("n")]) == "((1 - V('a')) / B('x')[1:, V('n')])"
    assert repr(P(R("uniform", -10, 10))) == "P(R('uniform', -10, 10))"
    assert repr(F(max)(B("x"), key=len)) == "F(max)(B('x'), key=len)"
    assert repr(Where(V("a") > 1, [B("x")], None)) == "Where((V('a') > 1), [B('x')], None)"


def test_numpy_functions_do_not_take_expressions_apart():
    added = np.arange(3) + V("x")
    assert repr(added).endswith("+ V('x'))")


def test_unevaluated_expression_reaches_the_action(dataset, batch_class):
    seen = []
    (Pipeline(dataset).call(seen.append, W(V("nowhere")))).run(5)
    assert [expression.name for expression in seen] == ["nowhere", "nowhere"]


def test_pp_evaluates_once_for_each_item(context):
    numbers = iter(range(10))
    assert list(PP(F(lambda: next(numbers))).evaluate(context)) == [0, 1, 2, 3]
    each = PP(R("normal", size=2)).evaluate(context)
    assert [value.shape for value in each] == [(2,)] * 4
    assert len({value.tobytes() for value in each}) == 4
    again = PP(R("normal", size=2))
    context.draws = 0
    first = again.evaluate(context)
    context.draws = 0
    assert np.array_equal(np.stack(list(first)), np.stack(list(again.evaluate(context))))
    assert repr(PP(R("normal"))) == "PP(R('normal'))"
    with pytest.raises(TypeError, match="P deals out values at hand"):
        PP([1, 2])


def test_size_of_a_random_value_may_be_an_expression(context):
    assert R("normal", size=B("x").attr("size") // 2).evaluate(context).shape == (2,)
    assert R("normal", size=(V("v"), 3)).evaluate(context).shape == (2, 3)
    assert np.shape(P(R("normal", size=C("n"))).evaluate(context).values) == (4, 3)
    assert R("normal", size=np.int64(2)).evaluate(context).shape == (2,)
    with pytest.raises(ValueError, match="size is a whole number >= 0"):
        R("normal", size=V("v") - 5).evaluate(context)
    for wrong in (-1, 2.5, "2", (1, -2)):
        with pytest.raises((TypeError, ValueError), match="size is a whole number >= 0"):
            R("normal", size=wrong)


def test_a_variable_of_another_pipeline_is_read_from_its_last_run(dataset):
    training = Pipeline(dataset).init_variable("n", 0).update(V("n"), V("n") + 1)
    testing = Pipeline(dataset).init_variable("m").update(V("m"), V("n", pipeline=training) * 10)
    with pytest.raises(LookupError, match="was not run yet"):
        testing.run(5)
    done = training.run(5)
    assert testing.run(5).v("m") == 20
    other = Pipeline(dataset, {"from": done}).init_variable("m").update(V("m"), V("n", pipeline=C("from")))
    assert other.run(5, prefetch=2).v("m") == 2
    with pytest.raises(BindError, match="unknown variable 'N' of the other pipeline; did you mean 'n'"):
        Pipeline(dataset).add(V("N", pipeline=training)).run(5)
    with pytest.raises(TypeError, match="not a pipeline or a run: 3"):
        Pipeline(dataset).add(V("n", pipeline=C("k"))).run(5, config={"k": 3})
