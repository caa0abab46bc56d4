"""What holds for the exported `adapt` and `predict`, whatever the episode."""

from functools import cache
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from onnxscript import DOUBLE

from tasks.artifacts.bundle import Bundle
from tasks.artifacts.contract import IR_VERSION, graph_contracts
from tasks.artifacts.graph_form import check_graph
from tasks.export.graphs import serialised
from tasks.export.learned import trace_learner
from tasks.export.modules import Adapt
from tasks.export.parity import LARGEST_DIFFERENCE
from tasks.export.solving import solve
from tasks.export.stage import traced_examples
from tasks.export.unrolled import DUAL_IMAGES
from tasks.learners.gradient import GradientLearner
from tasks.learners.ridge import Ridge
from tasks.learners.spec import LearnerSpec

BUNDLE = Bundle(Path(__file__).parents[1] / "golden" / "bundle_format_1")
seeds = st.integers(0, 2**31)
shots = st.lists(st.integers(0, 4), min_size=1, max_size=12).filter(any)
quick = settings(max_examples=60, deadline=None)


def episode(
    counts: list[int], seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.random.Generator]:
    generator = np.random.default_rng(seed)
    classes = generator.permutation(100)[: len(counts)]
    labels = generator.permutation(np.repeat(classes, counts))
    return generator.normal(size=(len(labels), BUNDLE.dim)), labels, classes, generator


@given(counts=shots, seed=seeds)
@quick
def test_relabelling_and_reordering_the_classes_reorders_the_rule(
    counts: list[int], seed: int
) -> None:
    support, labels, classes, generator = episode(counts, seed)
    rule = BUNDLE.adapt(support, labels, classes)
    order = generator.permutation(len(classes))
    other = BUNDLE.adapt(support, labels + 1000, classes[order] + 1000)
    np.testing.assert_allclose(other.weight, rule.weight[order], atol=1e-5)
    assert np.array_equal(other.bias, rule.bias[order])


@given(counts=shots, seed=seeds)
@quick
def test_images_of_other_classes_change_nothing(counts: list[int], seed: int) -> None:
    support, labels, classes, generator = episode(counts, seed)
    stray = generator.normal(size=(3, BUNDLE.dim))
    rule = BUNDLE.adapt(support, labels, classes)
    more = BUNDLE.adapt(
        np.concatenate([stray, support]), np.concatenate([[-1, 500, 501], labels]), classes
    )
    np.testing.assert_allclose(more.weight, rule.weight, atol=1e-5)
    assert np.array_equal(more.bias, rule.bias)


@given(counts=shots, seed=seeds, queries=st.integers(1, 5))
@quick
def test_probabilities_are_a_distribution_over_the_classes_with_support(
    counts: list[int], seed: int, queries: int
) -> None:
    support, labels, classes, generator = episode(counts, seed)
    query = 100 * generator.normal(size=(queries, BUNDLE.dim))
    _, probabilities = BUNDLE.predict(query, BUNDLE.adapt(support, labels, classes))
    assert probabilities.shape == (queries, len(counts))
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert (probabilities[:, np.array(counts) == 0] == 0).all()


@cache
def solver() -> onnxruntime.InferenceSession:
    types = [DOUBLE["unknowns", "unknowns"], DOUBLE["unknowns", "columns"]]
    model = solve.to_model_proto(input_types=types, output_types=types[1:])
    model.ir_version = IR_VERSION
    return onnxruntime.InferenceSession(model.SerializeToString())


@given(unknowns=st.integers(1, 60), columns=st.integers(1, 20), seed=seeds)
@quick
def test_a_loop_solves_systems_of_any_size_as_lapack_does(
    unknowns: int, columns: int, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    square = generator.normal(size=(unknowns, generator.integers(1, 2 * unknowns + 1)))
    system = square @ square.T + 10.0 ** generator.integers(-4, 2) * np.eye(unknowns)
    right = generator.normal(size=(unknowns, columns))
    (found,) = solver().run(None, {"system": system, "right": right})
    expected = np.linalg.solve(system, right)
    np.testing.assert_allclose(found, expected, atol=1e-7 * max(1, np.abs(expected).max()))


@cache
def ridge(initial_penalty: float) -> tuple[Ridge, onnxruntime.InferenceSession]:
    contract = graph_contracts(BUNDLE.dim, 1)["adapt"]
    learner = Ridge(10.0, initial_penalty, 3 * initial_penalty).eval()
    model = trace_learner(
        Adapt(learner), contract, traced_examples(contract), name="adapt", about={}
    )
    check_graph(model, "adapt.onnx", contract)
    return learner, onnxruntime.InferenceSession(serialised(model))


@cache
def unrolled(name: str) -> tuple[GradientLearner, onnxruntime.InferenceSession]:
    """With rates of their own for each step or number, and weight and bias."""
    contract = graph_contracts(BUNDLE.dim, 1)["adapt"]
    learner = GradientLearner(LearnerSpec(name, BUNDLE.dim, inner_steps=4)).eval()
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(1)
        for rates in learner.rates.parameters():
            rates.add_(0.5 * torch.randn_like(rates))
    model = trace_learner(
        Adapt(learner), contract, traced_examples(contract), name="adapt", about={}
    )
    check_graph(model, "adapt.onnx", contract)
    return learner, onnxruntime.InferenceSession(serialised(model))


any_support = {
    "counts": st.lists(st.integers(0, 12), min_size=1, max_size=20),
    "stray": st.integers(0, 9),
    "seed": seeds,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["anil", "meta_sgd", "maml_plus_plus"])
@given(**any_support)
@example(counts=[DUAL_IMAGES - 1], stray=1, seed=1)  # the last that takes the dual form
@example(counts=[DUAL_IMAGES - 1, 1], stray=1, seed=1)  # the first that takes the primal
@example(counts=[0, 0], stray=DUAL_IMAGES + 1, seed=1)
@example(counts=[40, 0, 90, 30], stray=9, seed=1)
@quick
@torch.no_grad()
def test_unrolled_steps_in_a_graph_are_pytorchs_for_any_support_way_and_stray_labels(
    name: str, counts: list[int], stray: int, seed: int
) -> None:
    compare(*unrolled(name), counts, stray, seed)


@pytest.mark.slow
@pytest.mark.parametrize("initial_penalty", [1.0, 1e-4])
@given(**any_support)
@quick
@torch.no_grad()
def test_ridge_in_a_graph_is_pytorchs_for_any_support_way_and_stray_labels(
    initial_penalty: float, counts: list[int], stray: int, seed: int
) -> None:
    bias = compare(*ridge(initial_penalty), counts, stray, seed)
    assert np.array_equal(bias, np.where(np.array(counts) == 0, -np.inf, 0))


def compare(
    learner: Ridge | GradientLearner,
    session: onnxruntime.InferenceSession,
    counts: list[int],
    stray: int,
    seed: int,
) -> np.ndarray:
    """Both on the same episode; returns the bias of the graph."""
    support, labels, classes, generator = episode(counts, seed)
    inputs = (
        np.concatenate([support, generator.normal(size=(stray, BUNDLE.dim))]).astype(np.float32),
        np.concatenate([labels, generator.integers(200, 300, stray)]),
        classes,
    )
    names = ("embeddings", "labels", "classes")
    weight, bias = session.run(None, dict(zip(names, inputs, strict=True)))
    expected = learner.adapt(*map(torch.from_numpy, inputs))
    np.testing.assert_allclose(weight, expected[0].numpy(), atol=LARGEST_DIFFERENCE)
    np.testing.assert_allclose(bias, expected[1].numpy(), atol=LARGEST_DIFFERENCE)
    assert (np.isneginf(bias) == (np.array(counts) == 0)).all()
    return bias
