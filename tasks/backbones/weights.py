"""Fills an encoder with weights that somebody else has trained."""

import logging
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from tasks.backbones import hub
from tasks.backbones.build import EncoderSpec
from tasks.backbones.efficientnet_lite0 import EfficientNetLite0, imagenet_file, in_timms_words
from tasks.backbones.encoder import Encoder
from tasks.backbones.preprocessing import preprocessing
from tasks.backbones.state_file import fill, read_state
from tasks.errors import DataError, ParametersError
from tasks.params.networks import (
    IMAGENET,
    NONE,
    is_weights_file,
    torchvision_weights,
    weights_fault,
    weights_path,
)

logger = logging.getLogger(__name__)


def load_weights(encoder: Encoder, spec: EncoderSpec, weights: str, sha256: str = "") -> None:
    """Fill the backbone; a classifier that comes with the weights is left out.

    Args:
        encoder: built from `spec`.
        spec: of the encoder.
        weights: `none`, which does nothing; `imagenet`, the best that belong to the backbone; the
            name of torchvision's weights, such as `IMAGENET1K_V1`; or the path of a file.
        sha256: of the file, 64 hexadecimal digits; empty is not checked.

    Raises:
        ParametersError: there are no such weights.
        DataError: they cannot be had, are damaged, or do not fit.
    """
    if weights == NONE:
        return
    if fault := weights_fault(spec.name, weights):
        raise ParametersError(f"pretrain.weights: {fault}")
    path = _file(spec.name, weights)
    if sha256 and path.is_file() and (found := hub.sha256(path)) != sha256.lower():
        raise DataError(f"{path}: found SHA-256 {found}, needed {sha256} (pretrain.weights_sha256)")
    state = read_state(path)
    if isinstance(encoder.backbone, EfficientNetLite0):
        state = in_timms_words(state, encoder.backbone.network)
    _check_normalisation(encoder, state, path)
    fill(encoder.backbone, state, str(path))
    logger.info("weights: %s", path.name)
    _tell_size(spec, weights)


def _file(backbone: str, weights: str) -> Path:
    if is_weights_file(weights):
        return weights_path(weights)
    if backbone == "efficientnet_lite0":
        return imagenet_file()
    members = torchvision_weights(backbone)
    return hub.fetch(members.DEFAULT if weights == IMAGENET else members[weights])


def _check_normalisation(encoder: Encoder, state: Mapping[str, Tensor], path: Path) -> None:
    """What a stage wrote holds the normalisation that the weights were trained with."""
    for key in ("mean", "std"):
        wanted, given = state.get(key), getattr(encoder, key)
        if wanted is not None and not torch.equal(wanted, given):
            raise DataError(
                f"{path}: trained on images normalised by {key} {wanted.flatten().tolist()}, found "
                f"{given.flatten().tolist()}; it is of another backbone or other channels"
            )


def _tell_size(spec: EncoderSpec, weights: str) -> None:
    side_px = 0 if is_weights_file(weights) else preprocessing(spec.name, 3, weights).side_px
    if side_px and spec.input_size_px and side_px != spec.input_size_px:
        logger.info(
            "the weights were trained on images of %d pixels a side, and get %d; "
            "pretrain.input_size_px or prepare.image_size_px would change that",
            side_px,
            spec.input_size_px,
        )
