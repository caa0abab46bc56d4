"""How images must be prepared for the weights of a backbone."""

from collections.abc import Sequence
from dataclasses import dataclass

from tasks.backbones import efficientnet_lite0
from tasks.params.networks import IMAGENET, MINIMUM_PX, torchvision_weights


@dataclass(frozen=True)
class Preprocessing:
    """What weights were trained on.

    Attributes:
        mean: of each channel, on the scale of 0 (black) to 1 (white).
        std: of each channel, same scale.
        side_px: of the images; 0 where any will do.
    """

    mean: Sequence[float]
    std: Sequence[float]
    side_px: int = 0


def preprocessing(backbone: str, channels: int, weights: str = IMAGENET) -> Preprocessing:
    """What the weights of a backbone want; of a file, what the best known of it do.

    Args:
        backbone: its name.
        channels: of the stored images; read where the network is one of ours, and takes either.
        weights: `pretrain.weights`.
    """
    if backbone == "efficientnet_lite0":
        own = efficientnet_lite0
        return Preprocessing(own.MEAN, own.STD, own.CROP_PX)
    if backbone in MINIMUM_PX:
        # White becomes zero: paper looks just like the zeros with which convolutions pad an image.
        return Preprocessing((1.0,) * channels, (1.0,) * channels)
    members = torchvision_weights(backbone)
    entry = members[weights] if weights in members.__members__ else members.DEFAULT
    wanted = entry.transforms()
    return Preprocessing(tuple(wanted.mean), tuple(wanted.std), wanted.crop_size[0])
