"""The int8 form of hand-written networks: what becomes whole numbers, and how near it stays."""

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from tasks.artifacts.image_store import ImageClass, Part
from tasks.export.graphs import serialised
from tasks.export.int8_graph import Int8Form, NotQuantisableError, core, framed_pixels
from tasks.export.int8_writer import LARGEST_WEIGHT, activation_numbers
from tasks.export.quantising import calibrate, cosines, embed_framed, held_out
from tasks.progress import untracked

SIDE_PX = 8


def encoder(
    *network: onnx.NodeProto, weights: dict[str, np.ndarray], mean: str = "encoder.mean"
) -> onnx.ModelProto:
    """Images as they are, `(x / 255 - mean) / mean`, the network, the mean of each channel."""
    constants = {
        "largest": np.float32(255),
        "axes": np.array([2, 3]),
        mean: np.full((1, 1, 1), 0.5, np.float32),
        **weights,
    }
    nodes = [
        helper.make_node("Transpose", ["images"], ["turned"], perm=[0, 3, 1, 2]),
        helper.make_node("Cast", ["turned"], ["framed"], to=TensorProto.UINT8),
        helper.make_node("Cast", ["framed"], ["levels"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["levels", "largest"], ["shares"]),
        helper.make_node("Sub", ["shares", mean], ["centred"]),
        helper.make_node("Div", ["centred", mean], ["pixels"]),
        *network,
        helper.make_node("ReduceMean", ["features", "axes"], ["embeddings"], keepdims=0),
    ]
    images = helper.make_tensor_value_info("images", TensorProto.UINT8, ["batch", 8, 8, 3])
    output = helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, ["batch", 4])
    initializers = [numpy_helper.from_array(np.asarray(one), key) for key, one in constants.items()]
    graph = helper.make_graph(nodes, "encoder", [images], [output], initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def weights(seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "w1": rng.normal(size=(4, 3, 3, 3)).astype(np.float32),
        "b1": rng.normal(size=4).astype(np.float32),
        "w2": rng.normal(size=(4, 4, 3, 3)).astype(np.float32),
    }


def residual(seed: int = 0) -> onnx.ModelProto:
    """A convolution with ReLU, another without, their sum with ReLU, and pooling."""
    pads = {"pads": [1, 1, 1, 1]}
    return encoder(
        helper.make_node("Conv", ["pixels", "w1", "b1"], ["c1"], **pads),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("Conv", ["r1", "w2"], ["c2"], **pads),
        helper.make_node("Add", ["r1", "c2"], ["sum"]),
        helper.make_node("Relu", ["sum"], ["r2"]),
        helper.make_node("MaxPool", ["r2"], ["features"], kernel_shape=[2, 2], strides=[2, 2]),
        weights=weights(seed),
    )


def images(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, SIDE_PX, SIDE_PX, 3), np.uint8)


def int8(model: onnx.ModelProto, some: np.ndarray) -> onnx.ModelProto:
    form = Int8Form(model)
    return form.write(calibrate(model, form, some, untracked))


def kinds(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


def test_saturation_does_the_work_of_relu_and_pooling_shares_numbers() -> None:
    plan = Int8Form(residual()).plan
    assert plan.tensors == ("pixels", "r1", "c2", "r2", "features")
    assert plan.shared == {"features": "r2"}
    assert plan.dropped == {"r1", "r2"}
    assert "Relu" not in kinds(int8(residual(), images(8)))


def test_weights_are_int8_and_activations_uint8_in_standard_onnx() -> None:
    model = int8(residual(), images(8))
    onnx.checker.check_model(model, full_check=True)
    onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    types = {one.name: one.data_type for one in model.graph.initializer}
    assert types["c1_weight_int8"] == types["c2_weight_int8"] == TensorProto.INT8
    assert types["c1_bias_int32"] == TensorProto.INT32
    assert types["r1_zero"] == TensorProto.UINT8
    assert not {"w1", "b1", "w2"} & set(types)
    assert {node.domain for node in model.graph.node} == {""}
    assert serialised(model) == serialised(int8(residual(), images(8)))


@given(seed=st.integers(0, 2**31))
@settings(max_examples=25, deadline=None)
def test_embeddings_stay_near(seed: int) -> None:
    model, some = residual(seed), images(16, seed)
    small = int8(model, some)
    both = [embed_framed(one, some, untracked, "") for one in (model, small)]
    assert cosines(*both)["minimum"] > 0.995
    session = onnxruntime.InferenceSession(serialised(small))
    np.testing.assert_allclose(session.run(None, {"images": some})[0], both[1], atol=1e-6)


def test_a_clip_from_zero_goes_and_one_from_elsewhere_stays() -> None:
    for low, stays in ((0.0, False), (-1.0, True)):
        limits = {"low": np.float32(low), "high": np.float32(6)}
        model = encoder(
            helper.make_node("Conv", ["pixels", "w1", "b1"], ["c1"]),
            helper.make_node("Clip", ["c1", "low", "high"], ["r1"]),
            helper.make_node("Conv", ["r1", "w2"], ["features"]),
            weights=weights() | limits,
        )
        some = images(16)
        small = int8(model, some)
        assert ("Clip" in kinds(small)) is stays
        both = [embed_framed(one, some, untracked, "") for one in (model, small)]
        assert cosines(*both)["minimum"] > 0.99


def test_a_weight_that_two_convolutions_share_is_written_for_each() -> None:
    model = encoder(
        helper.make_node("Conv", ["pixels", "w1", "b1"], ["c1"]),
        helper.make_node("Conv", ["c1", "w2"], ["c2"], pads=[1, 1, 1, 1]),
        helper.make_node("Conv", ["c2", "w2"], ["features"]),
        weights=weights(),
    )
    names = {one.name for one in int8(model, images(8)).graph.initializer}
    assert {"c2_weight_int8", "features_weight_int8"} <= names


def test_a_channel_of_zeros_and_one_with_a_huge_bias_stay_finite() -> None:
    own = weights()
    own["w1"][0], own["b1"][0] = 0, 1e6
    own["w1"][1], own["b1"][1] = 0, 0
    model = encoder(helper.make_node("Conv", ["pixels", "w1", "b1"], ["features"]), weights=own)
    some = images(4)
    found = embed_framed(int8(model, some), some, untracked, "")
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found[:, 0], 1e6, rtol=0.01)


INT16 = np.iinfo(np.int16)


def test_no_pair_of_products_leaves_16_bits_whatever_the_weights_and_activations() -> None:
    worst = 2 * np.iinfo(np.uint8).max * np.array([-LARGEST_WEIGHT, LARGEST_WEIGHT])
    assert (INT16.min <= worst).all() and (worst <= INT16.max).all()
    assert 2 * np.iinfo(np.uint8).max * (LARGEST_WEIGHT + 1) > INT16.max
    model = int8(residual(), images(8))
    written = [
        numpy_helper.to_array(one)
        for one in model.graph.initializer
        if one.name.endswith("_weight_int8")
    ]
    assert len(written) == 2
    assert all(abs(one.astype(int)).max() == LARGEST_WEIGHT for one in written)


def test_a_depthwise_convolution_keeps_eight_bits_and_is_not_cut_off() -> None:
    own = np.array([1.0, 0.5, 0.25])[:, None, None, None] * np.ones((3, 1, 3, 3))
    alone = {"w1": own.astype(np.float32)}
    node = helper.make_node("Conv", ["pixels", "w1"], ["features"], group=3)
    model = encoder(node, weights=alone)
    bright = np.full((2, SIDE_PX, SIDE_PX, 3), 255, np.uint8)
    bright[1] = 0
    small = int8(model, bright)
    (whole,) = (one for one in small.graph.initializer if one.name.endswith("_weight_int8"))
    assert (numpy_helper.to_array(whole) == 127).all()
    found = [embed_framed(one, bright, untracked, "") for one in (model, small)]
    np.testing.assert_allclose(found[1], found[0], rtol=0.01, atol=0.05)


def test_the_brightest_images_under_weights_of_one_sign_are_not_cut_off() -> None:
    """The worst case of the sums: on processors with and without VNNI alike."""
    same = {"w1": np.ones((4, 3, 3, 3), np.float32), "b1": np.zeros(4, np.float32)}
    model = encoder(helper.make_node("Conv", ["pixels", "w1", "b1"], ["features"]), weights=same)
    bright = np.full((2, SIDE_PX, SIDE_PX, 3), 255, np.uint8)
    bright[1] = 0  # so that 255 stands for the brightest
    wide, small = (embed_framed(one, bright, untracked, "") for one in (model, int8(model, bright)))
    np.testing.assert_allclose(small, wide, rtol=0.01, atol=0.05)


@pytest.mark.parametrize("groups", [1, 2])
def test_the_bias_takes_back_what_rounded_weights_add_to_the_mean(groups: int) -> None:
    rng = np.random.default_rng(groups)
    own = {
        "w1": rng.normal(size=(4, 3, 1, 1)).astype(np.float32),
        "b1": np.full(4, 20, np.float32),  # so that no number meets the floor of ReLU
        # All weights but one of each channel are rounded down.
        "w2": np.full((4, 4 // groups, 1, 1), 4.4 / 64, np.float32),
        "b2": np.zeros(4, np.float32),
    }
    own["w2"][:, 0] = 1.0
    model = encoder(
        helper.make_node("Conv", ["pixels", "w1", "b1"], ["c1"]),
        helper.make_node("Conv", ["c1", "w2", "b2"], ["features"], group=groups),
        weights=own,
    )
    some = images(64, groups)
    found = [embed_framed(one, some, untracked, "") for one in (model, int8(model, some))]
    # Of a sum of numbers about 20, 0.4 / 64 of each would be missing.
    shift = np.abs((found[1] - found[0]).mean(axis=0)).max()
    assert shift < 0.02


def test_what_has_no_int8_form_is_told() -> None:
    relu = helper.make_node("Relu", ["pixels"], ["features"])
    with pytest.raises(NotQuantisableError, match="no convolution or product with weights"):
        Int8Form(encoder(relu, weights={}))
    with pytest.raises(NotQuantisableError, match="no normalisation of the pixels"):
        Int8Form(encoder(relu, weights={}, mean="other"))
    twice = residual()
    twice.graph.node.append(helper.make_node("Cast", ["levels"], ["x"], to=TensorProto.UINT8))
    with pytest.raises(NotQuantisableError, match="found 2 casts to grey levels"):
        framed_pixels(twice)


def test_the_core_begins_at_framed_images() -> None:
    part = core(residual(), ["c1"])
    assert [one.name for one in part.graph.input] == ["framed"]
    assert [one.name for one in part.graph.output] == ["embeddings", "c1"]
    assert "Transpose" not in kinds(part)


@given(low=st.floats(-100, 100), high=st.floats(-100, 100))
def test_zero_is_always_one_of_the_256_levels(low: float, high: float) -> None:
    scale, zero = activation_numbers(min(low, high), max(low, high))
    levels = (np.arange(256) - float(zero)) * float(scale)
    assert 0 in levels and scale > 0
    assert levels[0] <= max(0.0, min(low, high)) + scale and levels[-1] >= max(low, high) - scale


def test_ranges_are_told_with_four_digits() -> None:
    """The last digits of a float hang on the processor; they would reach every scale."""
    model = residual()
    for seen in calibrate(model, Int8Form(model), images(8), untracked).values():
        assert all(one == float(f"{one:.4g}") for one in (seen.low, seen.high, *seen.means))


def test_held_out_images_are_the_first_of_every_class(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = np.array([0, 1, 0, 1, 0, 1, 1, 0])
    classes = tuple(ImageClass(name, "group", 4) for name in "ab")
    part = Part(np.arange(8, dtype=np.uint8)[:, None, None, None], labels, classes)
    monkeypatch.setattr("tasks.export.quantising.HELD_OUT_IMAGES", 4)
    assert held_out(part, 1).images.ravel().tolist() == [0, 1, 2, 3]
    assert held_out(part, 3).images.ravel().tolist() == [0, 1, 2, 3, 4, 5]
