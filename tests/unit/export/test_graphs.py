"""Graphs against the modules they come from, on sizes, ways and shots other than traced."""

from collections.abc import Callable

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from tasks.artifacts.contract import GraphContract, TensorContract, graph_contracts
from tasks.artifacts.graph_form import check_graph, check_sizes
from tasks.backbones.build import EncoderSpec
from tasks.errors import BundleError
from tasks.export.graphs import serialised, trace
from tasks.export.learned import learned_in_graphs, trace_learner
from tasks.export.modules import Adapt, ImageEncoder, Predict
from tasks.export.samples import IMAGE_SIZES, SHOTS, drawings, support_set
from tasks.export.stage import traced_examples
from tasks.framing.graph import Framing
from tasks.learners.cosine import Cosine
from tasks.learners.learner import as_learner, build_learner
from tasks.learners.spec import LearnerSpec
from tests.small_project import untrained

DIM = 8
FEATURES = {"projection": 5}
SIZES = ((1, 28, 28), (4, 37, 53), (1, 130, 61), (2, 1, 1), (3, 5, 200))
LEARNERS = {
    "cosine": LearnerSpec("cosine", DIM),
    "ridge": LearnerSpec("ridge", DIM, initial_penalty=0.01, initial_penalty_of_one=0.5),
    "projection": LearnerSpec("projection", DIM, projection_dim=FEATURES["projection"]),
    "anil": LearnerSpec("anil", DIM, inner_steps=3, inner_learning_rate=2.0),
    "anil of first order": LearnerSpec("anil", DIM, inner_steps=2, first_order=True),
    "anil without steps": LearnerSpec("anil", DIM, inner_steps=0),
    "meta_sgd": LearnerSpec("meta_sgd", DIM, inner_steps=2, inner_learning_rate=0.5),
    "fixed": LearnerSpec("reptile", DIM, inner_steps=2, inner_learning_rate=0.5),
    "by tensor": LearnerSpec("maml_plus_plus", DIM, inner_steps=2, inner_learning_rate=0.5),
}


def exported(
    name: str, module: nn.Module, dim: int, features: int | None = None
) -> onnx.ModelProto:
    contract = graph_contracts(dim, 3, features)[name]
    examples = traced_examples(contract)
    tracing = trace_learner if isinstance(module, Adapt | Predict) else trace
    model = tracing(module, contract, examples, name=name, about={"about": "a test"})
    check_graph(model, f"{name}.onnx", contract)
    return model


def run(model: onnx.ModelProto, *inputs: torch.Tensor) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(serialised(model))
    names = [value.name for value in model.graph.input]
    return session.run(None, {key: one.numpy() for key, one in zip(names, inputs, strict=True)})


def learner(name: str) -> nn.Module:
    return build_learner(LEARNERS[name]).eval()


@pytest.mark.parametrize(
    ("framing", "channels", "side_px"),
    [
        ("ink", 1, 28),
        ("crop", 3, 33),
        pytest.param("ink", 3, 31, marks=pytest.mark.slow),
        pytest.param("crop", 1, 28, marks=pytest.mark.slow),
    ],
)
@torch.no_grad()
def test_framing_in_a_graph_is_pytorchs_within_one_grey_level(
    framing: str, channels: int, side_px: int
) -> None:
    module = Framing(framing, side_px, channels)
    framed = TensorContract("framed", "uint8", ("batch", side_px, side_px, channels), "framed")
    contract = GraphContract("Frames.", graph_contracts(1, 1)["encoder"].inputs, (framed,))
    model = trace(module, contract, traced_examples(contract), name="framing", about={})
    check_graph(model, "framing.onnx", contract)
    for size in (*SIZES, *IMAGE_SIZES):
        images = torch.from_numpy(drawings(3, *size))
        (found,) = run(model, images)
        levels = np.abs(found.astype(int) - module(images).numpy())
        assert levels.max() <= 1 and (levels > 0).mean() <= 0.01


@pytest.mark.parametrize(
    ("framing", "channels", "backbone", "side_px"),
    [
        pytest.param("ink", 1, "conv4", 28, marks=pytest.mark.slow),
        pytest.param("crop", 3, "conv4", 33, marks=pytest.mark.slow),
        pytest.param("ink", 1, "resnet18", 28, marks=pytest.mark.slow),
    ],
)
@torch.no_grad()
def test_an_encoder_gives_pytorchs_embeddings_for_images_of_any_size(
    framing: str, channels: int, backbone: str, side_px: int
) -> None:
    encoder = untrained(EncoderSpec(backbone, channels, (4, 6, 6, DIM)))
    module = ImageEncoder(Framing(framing, side_px, channels), encoder)
    model = exported("encoder", module, encoder.width)
    for size in SIZES:
        images = torch.from_numpy(drawings(3, *size))
        (found,) = run(model, images)
        expected = module(images).numpy()
        # A grey level may fall the other way where a value lies half-way; see notes in parity.py.
        np.testing.assert_allclose(found, expected, atol=5e-3 * np.abs(expected).max())
        assert found.shape == (size[0], encoder.width)


@pytest.mark.parametrize(
    "name",
    [
        "cosine",
        "anil",
        pytest.param("ridge", marks=pytest.mark.slow),
        pytest.param("projection", marks=pytest.mark.slow),
        pytest.param("anil of first order", marks=pytest.mark.slow),
        pytest.param("anil without steps", marks=pytest.mark.slow),
    ],
)
@torch.no_grad()
def test_adapt_and_predict_give_pytorchs_rule_and_scores(name: str) -> None:
    adapt, predict = Adapt(learner(name)), Predict(learner(name))
    adapting, predicting = (
        exported(graph, module, DIM, FEATURES.get(name))
        for graph, module in (("adapt", adapt), ("predict", predict))
    )
    for shots in SHOTS:
        support = support_set(5, DIM, shots)
        expected = adapt(*support)
        for one, other in zip(run(adapting, *support), expected, strict=True):
            np.testing.assert_allclose(one, other.numpy(), atol=1e-5)
        query = torch.from_numpy(np.random.default_rng(1).normal(size=(6, DIM)).astype(np.float32))
        for one, other in zip(
            run(predicting, query, *expected), predict(query, *expected), strict=True
        ):
            np.testing.assert_allclose(one, other.numpy(), atol=1e-4)
            assert not np.isnan(one).any()


EXPECTED = {
    "cosine": {"temperature": 10.0},
    "ridge": {"scale": 10.0, "penalty": 0.01, "penalty_of_one": 0.5},
    "projection": {"temperature": 10.0, "linear.bias": [0.0] * 5},
    "anil": {"scale": 10.0, "rates.weight": [2.0] * 3, "rates.bias": [2.0] * 3},
    "meta_sgd": {"scale": 10.0, "rates.weight": [0.5] * DIM, "rates.bias": 0.5},
    "fixed": {"scale": 10.0, "rates.weight": [0.5] * 2, "rates.bias": [0.5] * 2},
    "by tensor": {"scale": 10.0, "rates.weight": [0.5] * 2, "rates.bias": [0.5] * 2},
}


def initialisers(model: onnx.ModelProto) -> dict[str, onnx.TensorProto]:
    return {one.name: one for one in model.graph.initializer}


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPECTED)
def test_what_was_learned_stands_in_the_graphs_under_its_name(name: str) -> None:
    own = learner(name)
    models = {
        graph: exported(graph, module, DIM, FEATURES.get(name))
        for graph, module in (("adapt", Adapt(own)), ("predict", Predict(own)))
    }
    told = learned_in_graphs(models, own)
    assert ("unrolled" in told) == (name not in ("cosine", "ridge", "projection"))
    found = {}
    for one in told["initialisers"]:
        graph = models[one["graph"].removesuffix(".onnx")]
        values = numpy_helper.to_array(initialisers(graph)[one["name"]])
        assert list(values.shape) == one["shape"] and one["meaning"]
        if "value" in one:
            np.testing.assert_array_equal(values, np.asarray(one["value"], np.float32))
        if one["graph"] == "adapt.onnx":
            found[one["name"].removeprefix("learner.")] = values
    for key, value in EXPECTED[name].items():
        np.testing.assert_allclose(found[key], value, rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "number", "change"),
    [
        ("cosine", "temperature", lambda own: own.temperature.mul_(2)),
        ("ridge", "scale", lambda own: own.scale.mul_(2)),
        ("ridge", "penalty", lambda own: own.log_penalty.add_(np.log(2))),
        ("ridge", "penalty_of_one", lambda own: own.log_penalty_of_one.add_(np.log(2))),
    ],
)
@torch.no_grad()
def test_a_number_changed_in_the_file_changes_what_is_learned(
    name: str, number: str, change: Callable[[nn.Module], object]
) -> None:
    own = learner(name)
    model = exported("adapt", Adapt(own), DIM)
    tensor = initialisers(model)[f"learner.{number}"]
    doubled = 2 * numpy_helper.to_array(tensor)
    tensor.CopyFrom(numpy_helper.from_array(doubled, tensor.name))
    change(own)
    least = 1 if number == "penalty_of_one" else 2
    for shots in ((least, 3), (least, 9)):  # fewer images than an embedding has numbers, and more
        support = support_set(5, DIM, shots)
        before = as_learner(learner(name)).adapt(*support)[0].numpy()
        weight, _ = run(model, *support)
        np.testing.assert_allclose(weight, as_learner(own).adapt(*support)[0], atol=1e-5)
        if number.startswith("penalty"):
            assert not np.allclose(weight, before, rtol=1e-3)
        else:  # of features at length one: the logits are products with the weight
            np.testing.assert_allclose(weight, 2 * before, rtol=1e-5)


@pytest.mark.slow
@torch.no_grad()
def test_ridge_is_exported_for_embeddings_as_long_as_those_of_a_large_network() -> None:
    """Of 1,280 numbers, an identity by `torch.eye` stood in the graph as numbers of 16 bits."""
    dim = 1280
    own = build_learner(LearnerSpec("ridge", dim, initial_penalty=0.3)).eval()
    model = exported("adapt", Adapt(own), dim)
    check_sizes(model, "adapt.onnx")
    support = support_set(5, dim, (2, 3))
    weight, _ = run(model, *support)
    np.testing.assert_allclose(weight, as_learner(own).adapt(*support)[0], atol=1e-5)


@pytest.mark.slow
@torch.no_grad()
def test_a_rate_of_zero_in_the_file_leaves_its_step_out() -> None:
    model = exported("adapt", Adapt(learner("anil")), DIM)
    found = initialisers(model)
    for name in ("learner.rates.weight", "learner.rates.bias"):
        found[name].CopyFrom(numpy_helper.from_array(np.zeros(3, np.float32), name))
    support = support_set(5, DIM, (2, 3))
    start = as_learner(learner("anil without steps")).adapt(*support)[0]
    np.testing.assert_allclose(run(model, *support)[0], start, atol=1e-6)


@torch.no_grad()
def test_probabilities_are_the_softmax_of_the_logits() -> None:
    rule = as_learner(learner("cosine")).adapt(*support_set(5, DIM, (3, 2, 4)))
    logits, probabilities = Predict(learner("cosine"))(torch.randn(9, DIM), *rule)
    torch.testing.assert_close(probabilities, logits.softmax(dim=-1))


def test_a_graph_explains_itself_and_tells_nothing_of_where_it_was_made() -> None:
    model = exported("adapt", Adapt(learner("anil")), DIM)
    assert [value.doc_string for value in model.graph.output] == [
        "float32 (way, 8): one row a class",
        "float32 (way): -inf for a class without support",
    ]
    assert model.doc_string == "Learns classes from the embeddings of a few images each."
    assert {entry.key: entry.value for entry in model.metadata_props} == {"about": "a test"}
    assert (model.ir_version, [one.version for one in model.opset_import]) == (8, [18])
    content = serialised(model)
    for trace_of_home in (b".py", b"/home", b"File ", b"site-packages", b"forward", b"aten"):
        assert trace_of_home not in content
    assert not any(node.metadata_props or node.doc_string for node in model.graph.node)


def test_what_no_graph_can_hold_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        Cosine, "adapt", lambda _, support, *__: torch.linalg.eigvalsh(support.T @ support)
    )
    with pytest.raises(BundleError, match=r"adapt: PyTorch cannot make a graph") as refused:
        exported("adapt", Adapt(learner("cosine")), DIM)
    assert "eigh" in str(refused.value) and "\n" not in str(refused.value)
