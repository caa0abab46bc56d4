"""Any of torchvision's classification networks, without its classifier."""

from typing import Any, cast

from jaxtyping import Float
from torch import Tensor, nn
from torchvision.models import get_model

_CLASSES = 1000  # of ImageNet, for which torchvision builds all of them


class TorchvisionNetwork(nn.Module):
    """Embeds RGB images; grey ones count as equal red, green and blue.

    The embedding is what the last layer of the classifier is given, so its width is the network's
    own: 512 for `resnet18`, 768 for `vit_b_16`.

    Args:
        name: of a classification network; each docstring of torchvision names its paper.
        side_px: of the images; read by the vision transformers, which are built for one size.
    """

    def __init__(self, name: str, side_px: int) -> None:
        super().__init__()
        self.network: nn.Module = get_model(name, weights=None, **_arguments(name, side_px))
        self.width = _behead(self.network)

    def forward(
        self, images: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch dim"]:
        """Embed normalised images: `(batch, width)`."""
        return cast(Tensor, self.network(images.expand(-1, 3, -1, -1)))


def _arguments(name: str, side_px: int) -> dict[str, Any]:
    if name in ("googlenet", "inception_v3"):
        # Their weights expect -1..1; transform_input gets there from ImageNet's mean and std. The
        # auxiliary classifiers would go with the classifier.
        return {"aux_logits": False, "init_weights": True, "transform_input": True}
    return {"image_size": side_px} if name.startswith("vit_") and side_px else {}


def _behead(network: nn.Module) -> int:
    """Replace the last layer of the classifier, whatever it is called; returns its inputs.

    It is linear everywhere but in SqueezeNet, whose last layer is a convolution over the map that
    is averaged afterwards.
    """
    path, width = "", 0
    for name, module in network.named_modules():
        if isinstance(module, nn.Linear) and module.out_features == _CLASSES:
            path, width = name, module.in_features
        elif isinstance(module, nn.Conv2d) and module.out_channels == _CLASSES:
            path, width = name, module.in_channels
    network.set_submodule(path, nn.Identity())
    return width
