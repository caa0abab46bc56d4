"""Builds an encoder by name, or again from what a stage wrote about it."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tasks.artifacts.model_store import read_module
from tasks.backbones.conv4 import Conv4
from tasks.backbones.efficientnet_lite0 import EfficientNetLite0
from tasks.backbones.encoder import Encoder
from tasks.backbones.preprocessing import Preprocessing, preprocessing
from tasks.backbones.resnet12 import ResNet12
from tasks.backbones.simple_net import SimpleNet
from tasks.errors import ParametersError
from tasks.params.networks import known_backbone


@dataclass(frozen=True)
class EncoderSpec:
    """All that is needed to build an encoder without any weights; stored beside them.

    Attributes:
        name: of the backbone, as in `pretrain.backbone`.
        channels: of the images, 1 or 3.
        widths: filters of each block of `conv4`; other backbones do not read it.
        input_size_px: side of the images that the backbone is given; 0 takes them as they come.
        mean: of each channel that the backbone sees, 0 (black) to 1 (white); empty is what its
            weights usually want.
        std: same scale; empty likewise.
        flat: whether the embedding of `conv4` is its last map, and not the mean of it; others do
            not read it.
    """

    name: str
    channels: int
    widths: Sequence[int] = ()
    input_size_px: int = 0
    mean: Sequence[float] = ()
    std: Sequence[float] = ()
    flat: bool = False

    def as_json(self) -> dict[str, Any]:
        """A JSON object that `EncoderSpec(**object)` reads back."""
        lists = {key: list(getattr(self, key)) for key in ("widths", "mean", "std")}
        return {**asdict(self), **lists}


def describe(
    backbone: str,
    *,
    channels: int,
    conv4_widths: Sequence[int],
    conv4_embedding: str,
    stored_px: int,
    input_size_px: int,
    weights: str,
) -> EncoderSpec:
    """What encoder the params ask for.

    Args:
        backbone: `pretrain.backbone`.
        channels: of the stored images.
        conv4_widths: filters of each block of `conv4`.
        conv4_embedding: `pretrain.conv4_embedding`.
        stored_px: side of the stored images.
        input_size_px: side to resize them to; 0 leaves them as they are.
        weights: `pretrain.weights`; they say how images are to be normalised.
    """
    wanted = preprocessing(backbone, channels, weights)
    return EncoderSpec(
        backbone,
        channels,
        tuple(conv4_widths) if backbone == "conv4" else (),
        input_size_px or stored_px,
        wanted.mean,
        wanted.std,
        backbone == "conv4" and conv4_embedding == "map",
    )


def build(spec: EncoderSpec) -> Encoder:
    """Build an untrained encoder; no weights are read or fetched.

    Weights are drawn from torch's global generator: seed or fork it around the call.

    Raises:
        ParametersError: there is no backbone of that name, or it needs to know more.
        DataError: the backbone is of a package that is not installed.
    """
    builders: dict[str, Callable[[EncoderSpec], nn.Module]] = {
        "conv4": _conv4,
        "resnet12": lambda spec: ResNet12(spec.channels),
        "simple_net": _simple_net,
        "efficientnet_lite0": lambda _: EfficientNetLite0(),
    }
    try:
        known_backbone(spec.name)
    except ValueError as error:
        raise ParametersError(f"pretrain.backbone: {error}") from None
    network = builders.get(spec.name, _torchvision)(spec)
    usual: Preprocessing = preprocessing(spec.name, spec.channels)
    encoder = Encoder(
        network,
        int(network.width),  # type: ignore[arg-type]  # torch takes any attribute for a module
        [*(spec.mean or usual.mean)],
        [*(spec.std or usual.std)],
        spec.input_size_px,
    )
    encoder.to(memory_format=torch.channels_last)
    return encoder


def _conv4(spec: EncoderSpec) -> nn.Module:
    if spec.flat and not spec.input_size_px:
        raise ParametersError("conv4: found no size of its images, needed input_size_px")
    return Conv4(spec.channels, spec.widths, spec.input_size_px if spec.flat else 0)


def _simple_net(spec: EncoderSpec) -> nn.Module:
    if not spec.input_size_px:
        raise ParametersError("simple_net: found no size of its images, needed input_size_px")
    return SimpleNet(spec.channels, spec.input_size_px)


def _torchvision(spec: EncoderSpec) -> nn.Module:
    # To import torchvision takes as long as to import torch; the house's own networks do without.
    from tasks.backbones.torchvision_network import TorchvisionNetwork

    return TorchvisionNetwork(spec.name, spec.input_size_px)


def read_encoder(folder: Path, made_by: str) -> Encoder:
    """Build the encoder that a stage wrote, with its weights, in evaluation mode.

    Args:
        folder: holds `model.json` and `encoder.safetensors`.
        made_by: the stage that writes it, for messages.

    Raises:
        DataError: something is missing, damaged, or of another version.
    """
    return read_module(folder, "encoder", made_by, lambda entry: build(EncoderSpec(**entry)))
