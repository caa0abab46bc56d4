"""torchvision's ResNet-18 without its classifier, with ImageNet weights where they can be had."""

from typing import Any, cast
from urllib.error import URLError

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torchvision.models import ResNet18_Weights, WeightsEnum, resnet18

from tasks.errors import DataError

WIDTH = 512
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class ResNet18(nn.Module):
    """Embeds RGB images; grey ones count as equal red, green and blue.

    Source: He et al., Deep Residual Learning for Image Recognition, 2016, table 1.
    """

    def __init__(self) -> None:
        super().__init__()
        self.network = resnet18(weights=None)
        self.network.fc = nn.Identity()

    def forward(
        self, images: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch 512"]:
        """Embed normalised images: `(batch, 512)`."""
        return cast(Tensor, self.network(images.expand(-1, 3, -1, -1)))


def load_imagenet(module: ResNet18, weights: WeightsEnum = ResNet18_Weights.IMAGENET1K_V1) -> None:
    """Fill the network with ImageNet weights through torchvision's own loader and its cache.

    Args:
        module: gets the weights; the classifier of 1,000 classes is dropped.
        weights: which of torchvision's weights.

    Raises:
        DataError: they are not in the cache and cannot be downloaded, or are damaged.
    """
    try:
        # check_hash compares the SHA-256 that torchvision puts into the file's name.
        state: dict[str, Any] = dict(
            weights.get_state_dict(progress=True, check_hash=True, weights_only=True)
        )
    except (URLError, OSError, RuntimeError) as error:
        raise DataError(
            f"ImageNet weights {weights} cannot be loaded ({' '.join(str(error).split())}); "
            f"copy {weights.url.rsplit('/', 1)[-1]} into {torch.hub.get_dir()}/checkpoints, or "
            "set pretrain.imagenet_weights: false in params.yaml"
        ) from None
    kept = {key: tensor for key, tensor in state.items() if not key.startswith("fc.")}
    module.network.load_state_dict(kept, strict=True)
