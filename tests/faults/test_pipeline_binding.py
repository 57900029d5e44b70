"""PI rows: what is wrong with a pipeline is told when it is written or bound, never by a batch."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

from bf_batch import Batch, Dataset, action
from bf_pipeline import B, BindError, C, Pipeline, V


class Satellite(Batch):
    components = "images", "masks"

    @action
    def normalize(self, mean=0.0):
        self.images = self.images - mean
        return self

    @action
    def add(self, value):
        self.images = self.images + value
        return self

    def plain(self):
        return self


class Other(Batch):
    components = ("images",)

    @action
    def sharpen(self):
        return self


@pytest.fixture
def dataset():
    return Dataset(8, Satellite, preloaded=(np.arange(8.0), np.zeros(8)))


def the_mistake(pipeline):
    """Bind by asking for batches; no batch is taken."""
    with pytest.raises(BindError) as caught:
        pipeline.gen_batch(4)
    (mistake,) = caught.value.mistakes
    assert mistake.where.file == __file__
    return mistake.text


@pytest.mark.faults("PI01a")
def test_misspelt_action_names_the_class_and_the_close_match(dataset):
    with pytest.raises(AttributeError, match="'normalise' of Satellite; did you mean 'normalize'"):
        Pipeline(dataset).normalise()


@pytest.mark.faults("PI01b")
def test_action_of_another_class_is_refused_when_the_dataset_comes(dataset):
    line = inspect.currentframe().f_lineno + 1
    template = Pipeline().sharpen()
    with pytest.raises(BindError) as caught:
        template << dataset
    assert f"{__file__}:{line}: unknown action 'sharpen' of Satellite" in str(caught.value)
    with pytest.raises(BindError):
        dataset >> template


@pytest.mark.faults("PI02")
def test_misspelt_component_is_found_at_bind(dataset):
    assert "unknown component 'imagse' of Satellite; did you mean 'images'" in the_mistake(
        Pipeline(dataset).add(B("imagse"))
    )


@pytest.mark.faults("PI03")
def test_undeclared_variable_is_found_at_bind(dataset):
    pipeline = Pipeline(dataset).init_variable("loss").add(V("los"))
    assert "unknown variable 'los'; did you mean 'loss'" in the_mistake(pipeline)
    written = Pipeline(dataset).init_variable("loss").update(V("los"), 1)
    assert "unknown variable 'los'; did you mean 'loss'" in the_mistake(written)


@pytest.mark.faults("PI04")
def test_missing_config_path_is_found_at_bind(dataset):
    pipeline = Pipeline(dataset, {"batch_size": 3}).add(C("batchsize"))
    assert (
        "unknown config path 'batchsize' of the pipeline's config; did you mean 'batch_size'"
        in the_mistake(pipeline)
    )


@pytest.mark.faults("PI05a")
@pytest.mark.parametrize("p", [1.5, -0.5, 2])
def test_probability_outside_its_range_is_refused(p):
    with pytest.raises(ValueError, match=f"from 0 to 1, got {float(p)}"):
        Pipeline().add(1) @ p


@pytest.mark.faults("PI05c")
def test_negative_repetition_is_refused():
    with pytest.raises(ValueError, match="got -1"):
        Pipeline().add(1) * -1


@pytest.mark.faults("PI05d")
def test_a_number_can_not_be_added():
    with pytest.raises(TypeError):
        Pipeline().add(1) + 3


@pytest.mark.faults("PI05e")
def test_a_number_is_neither_dataset_nor_config():
    with pytest.raises(TypeError, match="a dataset, an expression of one or a config, got int 5"):
        Pipeline().add(1) << 5
    with pytest.raises(TypeError):
        5 >> Pipeline().add(1)


@pytest.mark.faults("PI05f")
def test_half_a_repetition_is_refused():
    with pytest.raises(TypeError, match=r"got 0\.5"):
        Pipeline().add(1) * 0.5
    with pytest.raises(TypeError, match="True"):
        Pipeline().add(1) * True


@pytest.mark.faults("PI06a")
def test_declaring_a_variable_leaves_the_pipeline_alone():
    pipeline = Pipeline().add(1)
    longer = pipeline.init_variable("v", 0)
    assert repr(pipeline) == "Pipeline().add(1)"
    assert longer is not pipeline


@pytest.mark.faults("PI06c")
def test_clashing_configs_leave_the_operands_alone_and_the_right_one_wins():
    left, right = Pipeline() << {"a": 1}, Pipeline() << {"a": 2}
    assert (left + right).config == {"a": 2}
    assert (left.config, right.config) == ({"a": 1}, {"a": 2})


@pytest.mark.faults("PI06d")
def test_giving_a_dataset_leaves_the_template_alone(dataset):
    template = Pipeline().add(1)
    assert (template << dataset).dataset is dataset
    assert template.dataset is None


@pytest.mark.faults("PI08")
@pytest.mark.parametrize("steps", [1, 2])
def test_a_coin_skips_about_half(dataset, steps):
    template = Pipeline().add(100)
    for _ in range(steps - 1):
        template = template.add(100)
    batches = ((template @ 0.5) << dataset).gen_batch(8, n_epochs=200, seed=0)
    share = np.mean([batch.images[0] > 0 for batch in batches])
    assert 0.4 < share < 0.6


@pytest.mark.faults("PI09")
def test_unknown_argument_of_an_action_is_found_at_bind(dataset):
    pipeline = Pipeline(dataset).normalize(maen=3)
    with pytest.raises(TypeError) as caught:
        pipeline.run(4)
    text = str(caught.value)
    assert "unknown argument 'maen' of action 'normalize' of Satellite; did you mean 'mean'" in text
    assert f"{__file__}:" in text


@pytest.mark.faults("PI10")
def test_an_expression_has_no_truth_value():
    with pytest.raises(TypeError, match="use Where"):
        bool(V("x") == 3)


@pytest.mark.faults("PI11")
def test_an_expression_can_not_be_iterated():
    with pytest.raises(TypeError, match="is not iterable"):
        list(B("images"))


@pytest.mark.faults("PI17")
def test_two_iterators_over_one_pipeline_are_independent(dataset):
    pipeline = Pipeline(dataset).add(1)
    first, second = pipeline.gen_batch(2), pipeline.gen_batch(2)
    found = [next(one).images.tolist() for one in (first, first, second, first, second)]
    assert found == [[1, 2], [3, 4], [1, 2], [5, 6], [3, 4]]


@pytest.mark.faults("PI18")
def test_one_template_bound_to_two_datasets_serves_both_in_turns(dataset):
    template = Pipeline().add(1)
    other = Dataset(4, Satellite, preloaded=(np.full(4, 50.0), None))
    first, second = (template << dataset).gen_batch(2), (template << other).gen_batch(2)
    found = [next(one).images.tolist() for one in (first, second, first, second)]
    assert found == [[1, 2], [51, 51], [3, 4], [51, 51]]


@pytest.mark.faults("BA22")
def test_method_that_is_no_action_is_named_with_the_mark_it_lacks(dataset):
    with pytest.raises(AttributeError, match=r"'plain' of Satellite is a method but not an action.*@action"):
        Pipeline(dataset).plain()
    with pytest.raises(BindError, match="mark it with @action"):
        Pipeline().plain() << dataset


@pytest.mark.faults("PI22")
def test_defaults_that_need_themselves_are_named_as_a_circle(dataset):
    assert "variables need each other: x -> x" in the_mistake(
        Pipeline(dataset).init_variable("x", V("x") + 1)
    )
    longer = (
        Pipeline(dataset).init_variable("a", V("b")).init_variable("b", V("c")).init_variable("c", V("a"))
    )
    assert "a -> b -> c -> a" in the_mistake(longer)
