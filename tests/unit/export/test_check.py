from collections.abc import Callable

import onnx
import pytest
import torch
from onnx import TensorProto, helper
from torch import nn

from tasks.artifacts.contract import graph_contracts
from tasks.artifacts.graph_form import check_graph
from tasks.errors import BundleError
from tasks.export import parity

CONTRACT = graph_contracts(4, 3)["predict"]


def predict_graph() -> onnx.ModelProto:
    """A predict graph by hand: logits, and their softmax."""

    def value(name: str, *shape: int | str) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    graph = helper.make_graph(
        [
            helper.make_node("Transpose", ["weight"], ["turned"], perm=[1, 0]),
            helper.make_node("MatMul", ["embeddings", "turned"], ["scores"]),
            helper.make_node("Add", ["scores", "bias"], ["logits"]),
            helper.make_node("Softmax", ["logits"], ["probabilities"], axis=-1),
        ],
        "predict",
        [value("embeddings", "batch", 4), value("weight", "way", 4), value("bias", "way")],
        [value("logits", "batch", "way"), value("probabilities", "batch", "way")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def unknown_input(model: onnx.ModelProto) -> None:
    model.graph.node[0].input[0] = "nothing"


def wrong_shape(model: onnx.ModelProto) -> None:
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_param = "ways"


def wrong_rank(model: onnx.ModelProto) -> None:
    model.graph.node[0].attribute[0].ints[:] = [0, 1, 2]


def foreign(model: onnx.ModelProto) -> None:
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))


def newer(model: onnx.ModelProto) -> None:
    model.ir_version = 10


def test_a_graph_that_keeps_its_contract_passes() -> None:
    check_graph(predict_graph(), "predict.onnx", CONTRACT)


@pytest.mark.parametrize(
    ("damage", "line"),
    [
        (unknown_input, r"predict\.onnx: not valid ONNX"),
        (wrong_rank, r"predict\.onnx: not valid ONNX"),
        (wrong_shape, r"predict\.onnx: found .*'ways'.*, needed .*'way'"),
        (foreign, r"predict\.onnx: found operators of domain 'com\.microsoft'"),
        (newer, r"predict\.onnx: found IR and opsets \(10, .*, needed 8, 18"),
    ],
)
def test_a_graph_that_breaks_it_is_refused_in_one_line(
    damage: Callable[[onnx.ModelProto], None], line: str
) -> None:
    model = predict_graph()
    damage(model)
    with pytest.raises(BundleError, match=line) as refused:
        check_graph(model, "predict.onnx", CONTRACT)
    assert "\n" not in str(refused.value)


class Scores(nn.Module):
    def forward(
        self, embeddings: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        logits = embeddings @ weight.T + bias
        return logits, logits.softmax(dim=-1)


class Constant(nn.Module):
    def forward(self, *support: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        way = len(support[2])
        return torch.ones(way, 4), torch.ones(way)


def logits_parity(model: onnx.ModelProto) -> float:
    return parity._predict_parity(model, Constant(), Scores(), 4, seed=1)["logits"]


def test_parity_is_the_largest_difference_and_infinite_where_shapes_differ() -> None:
    model = predict_graph()
    assert logits_parity(model) < 1e-5
    model.graph.node[2].op_type = "Sub"
    assert logits_parity(model) == pytest.approx(2, abs=1e-5)
    model.graph.node[0].attribute[0].ints[:] = [0, 1]
    model.graph.node[1].CopyFrom(helper.make_node("Identity", ["embeddings"], ["scores"]))
    model.graph.input[2].type.tensor_type.shape.dim[0].dim_param = "any"
    model.graph.node[2].CopyFrom(helper.make_node("Identity", ["scores"], ["logits"]))
    assert logits_parity(model) == float("inf")
