import hashlib
import logging
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from sklearn.datasets import load_sample_image
from torch import Tensor
from torchvision.models import get_model

from tasks.artifacts.model_store import write_model
from tasks.backbones.build import EncoderSpec, build
from tasks.backbones.efficientnet_lite0 import imagenet_file, in_timms_words
from tasks.backbones.encoder import Encoder, embed
from tasks.backbones.weights import load_weights
from tasks.errors import DataError, ParametersError

SMALL = EncoderSpec("conv4", 1, (4, 4, 8, 8))
LITE0 = EncoderSpec("efficientnet_lite0", 3, input_size_px=64)


def encoder_of(spec: EncoderSpec, seed: int = 0) -> Encoder:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build(spec)


def save(state: dict[str, Tensor], path: Path) -> str:
    if path.suffix == ".safetensors":
        save_file({key: tensor.contiguous() for key, tensor in state.items()}, path)
    else:
        torch.save(state, path)
    return str(path)


def same(one: Encoder, other: Encoder) -> bool:
    states = one.state_dict(), other.state_dict()
    return all(torch.equal(states[0][key], states[1][key]) for key in states[0])


@pytest.mark.parametrize("ending", ["safetensors", "pth"])
@pytest.mark.parametrize("prefix", ["", "module.", "backbone.", "module.encoder.backbone."])
def test_a_file_may_have_prefixes_and_a_classifier(
    tmp_path: Path, prefix: str, ending: str
) -> None:
    trained, fresh = encoder_of(SMALL, 1), encoder_of(SMALL, 2)
    state = {prefix + key: tensor for key, tensor in trained.backbone.state_dict().items()}
    state |= {"fc.weight": torch.ones(10, 8), "module.fc.bias": torch.ones(10)}
    path = save(state, tmp_path / f"weights.{ending}")
    load_weights(fresh, SMALL, path, hashlib.sha256(Path(path).read_bytes()).hexdigest())
    assert same(fresh, trained)


def test_what_a_stage_wrote_is_a_file_of_weights(tmp_path: Path) -> None:
    trained, fresh = encoder_of(SMALL, 1), encoder_of(SMALL, 2)
    write_model(tmp_path, {"encoder": trained}, {})
    load_weights(fresh, SMALL, str(tmp_path / "encoder.safetensors"))
    assert same(fresh, trained)


def test_weights_that_were_trained_with_another_normalisation_are_refused(tmp_path: Path) -> None:
    other = EncoderSpec("conv4", 1, (4, 4, 8, 8), mean=(0.5,), std=(1.0,))
    write_model(tmp_path, {"encoder": encoder_of(other)}, {})
    with pytest.raises(DataError, match=r"normalised by mean \[0.5\], found \[1.0\]"):
        load_weights(encoder_of(SMALL), SMALL, str(tmp_path / "encoder.safetensors"))


def test_a_torchvision_network_takes_a_file_under_torchvisions_own_names(tmp_path: Path) -> None:
    spec = EncoderSpec("mobilenet_v3_small", 3, input_size_px=32)
    state = get_model("mobilenet_v3_small", weights=None).state_dict()
    encoder = encoder_of(spec)
    checkpoint = tmp_path / "checkpoint.pth"
    torch.save({"epoch": 3, "state_dict": state}, checkpoint)
    load_weights(encoder, spec, str(checkpoint))
    assert torch.equal(
        encoder.backbone.state_dict()["network.features.0.0.weight"], state["features.0.0.weight"]
    )


def test_weights_that_do_not_fit_are_told_by_name_and_shape(tmp_path: Path) -> None:
    state = encoder_of(EncoderSpec("conv4", 3, (4, 4, 8, 8))).backbone.state_dict()
    del state["blocks.3.0.weight"]
    path = save({**state, "stem.weight": torch.ones(1)}, tmp_path / "weights.safetensors")
    fresh = encoder_of(SMALL)
    with pytest.raises(DataError) as told:
        load_weights(fresh, SMALL, path)
    text = str(told.value)
    assert "1 missing (blocks.3.0.weight)" in text and "1 unexpected (stem.weight)" in text
    assert "blocks.0.0.weight (4, 3, 3, 3) for (4, 1, 3, 3)" in text
    assert same(fresh, encoder_of(SMALL)) and len(text.splitlines()) == 1


class _RunsCode:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit('code in a file of weights was run')",)


def test_a_pickle_that_needs_more_than_weights_is_refused(tmp_path: Path) -> None:
    for name, write in (("plain.pkl.pt", pickle.dump), ("torch.pth", torch.save)):
        with (tmp_path / name).open("wb") as file:
            write({"weight": _RunsCode()}, file)
        with pytest.raises(DataError, match="more than weights, and code in files is never run"):
            load_weights(encoder_of(SMALL), SMALL, str(tmp_path / name))


@pytest.mark.parametrize(
    ("name", "content", "part"),
    [
        ("empty.pth", b"", "damaged, or no file of weights"),
        ("text.pth", b"hello", "damaged, or no file of weights"),
        ("half.safetensors", b"\x08\x00", "damaged, or no file of weights"),
        ("folder/missing.pth", None, "not found"),
    ],
)
def test_a_file_that_is_none_of_weights_is_told_in_one_line(
    tmp_path: Path, name: str, content: bytes | None, part: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=part) as told:
        load_weights(encoder_of(SMALL), SMALL, str(tmp_path / name))
    assert len(str(told.value).splitlines()) == 1 and name in str(told.value)
    torch.save([torch.ones(1)], tmp_path / "list.pth")
    with pytest.raises(DataError, match="needed a state_dict"):
        load_weights(encoder_of(SMALL), SMALL, str(tmp_path / "list.pth"))


def test_the_digest_of_a_file_is_checked(tmp_path: Path) -> None:
    path = save(encoder_of(SMALL).backbone.state_dict(), tmp_path / "weights.pth")
    with pytest.raises(DataError, match=r"found SHA-256 .*pretrain.weights_sha256"):
        load_weights(encoder_of(SMALL), SMALL, path, "0" * 64)


def test_no_weights_change_nothing_and_unknown_ones_are_refused() -> None:
    encoder = encoder_of(SMALL)
    load_weights(encoder, SMALL, "none")
    assert same(encoder, encoder_of(SMALL))
    with pytest.raises(ParametersError, match="pretrain.weights: found 'imagenet'"):
        load_weights(encoder, SMALL, "imagenet")


def test_efficientnet_lite0_has_the_packages_weights_in_their_order(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    encoders = [encoder_of(LITE0, seed) for seed in (1, 2)]
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)
    untrained = [embed(encoder, images) for encoder in encoders]
    assert not torch.allclose(*untrained)
    for encoder in encoders:
        load_weights(encoder, LITE0, "imagenet")
    trained = [embed(encoder, images) for encoder in encoders]
    assert torch.equal(*trained) and not torch.allclose(trained[0], untrained[0])
    package = torch.load(imagenet_file(), weights_only=True)
    kept = list(encoders[0].backbone.state_dict().values())
    assert len(package) == 296 and len(kept) == 294
    assert all(torch.equal(a, b) for a, b in zip(package.values(), kept, strict=False))
    assert "trained on images of 224 pixels a side, and get 64" in caplog.text


@pytest.mark.parametrize(("photograph", "label"), [("china", 698), ("flower", 985)])
@torch.no_grad()
def test_efficientnet_lite0_knows_a_palace_and_a_daisy(photograph: str, label: int) -> None:
    spec = EncoderSpec("efficientnet_lite0", 3, input_size_px=224)
    encoder = encoder_of(spec)
    load_weights(encoder, spec, "imagenet")
    image = load_sample_image(f"{photograph}.jpg")  # 427 x 640, that scikit-learn ships
    embedding = embed(encoder, np.ascontiguousarray(image[None, :, 106:533]))
    *_, weight, bias = torch.load(imagenet_file(), weights_only=True).values()
    assert int((embedding @ weight.T + bias).argmax()) == label


def test_tensors_of_efficientnet_lite0_in_another_order_are_refused() -> None:
    network = encoder_of(LITE0).backbone.network
    package = torch.load(imagenet_file(), weights_only=True)
    names = list(package)
    names[2], names[3] = names[3], names[2]
    with pytest.raises(DataError, match="in the order of another network"):
        in_timms_words({name: package[name] for name in names}, network)
