"""Builds an encoder by name, or again from what a stage wrote about it."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import nn

from tasks.artifacts.model_store import read_module
from tasks.backbones.conv4 import Conv4
from tasks.backbones.encoder import Encoder
from tasks.backbones.resnet18 import IMAGENET_MEAN, IMAGENET_STD, WIDTH, ResNet18
from tasks.errors import DataError


@dataclass(frozen=True)
class EncoderSpec:
    """All that is needed to build an encoder; stored beside its weights.

    Attributes:
        name: `conv4` or `resnet18`.
        channels: of the images, 1 or 3.
        widths: filters of each block of `conv4`; other backbones do not read it.
    """

    name: str
    channels: int
    widths: Sequence[int]

    def as_json(self) -> dict[str, Any]:
        """A JSON object that `EncoderSpec(**object)` reads back."""
        return {**asdict(self), "widths": list(self.widths)}


def build(spec: EncoderSpec) -> Encoder:
    """Build an untrained encoder.

    The weights come from torch's global generator: seed or fork it around the call.

    Raises:
        DataError: there is no backbone of that name.
    """
    builders: dict[str, Callable[[EncoderSpec], Encoder]] = {
        "conv4": _conv4,
        "resnet18": _resnet18,
    }
    if spec.name not in builders:
        raise DataError(f"found backbone {spec.name}, needed one of {', '.join(builders)}")
    return builders[spec.name](spec)


def _conv4(spec: EncoderSpec) -> Encoder:
    network: nn.Module = Conv4(spec.channels, spec.widths)
    # White becomes zero: paper looks just like the zeros with which convolutions pad an image.
    return Encoder(network, spec.widths[-1], [1.0] * spec.channels, [1.0] * spec.channels)


def _resnet18(spec: EncoderSpec) -> Encoder:
    del spec
    return Encoder(ResNet18(), WIDTH, IMAGENET_MEAN, IMAGENET_STD)


def read_encoder(folder: Path, made_by: str) -> Encoder:
    """Build the encoder that a stage wrote, with its weights, in evaluation mode.

    Args:
        folder: holds `model.json` and `encoder.safetensors`.
        made_by: the stage that writes it, for messages.

    Raises:
        DataError: something is missing, damaged, or of another version.
    """
    return read_module(folder, "encoder", made_by, lambda entry: build(EncoderSpec(**entry)))
