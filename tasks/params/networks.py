"""What params need to know of backbones: their names, weights, and the sizes of images they take.

torchvision is asked, not copied, and only for a name that is none of our own: it takes seconds to
import.
"""

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

MINIMUM_PX = {"conv4": 16, "resnet12": 16, "simple_net": 1, "efficientnet_lite0": 1}
NONE, IMAGENET = "none", "imagenet"

_FIXED = ("vit_", "maxvit_")  # their position embeddings are of one size
_FILES = (".safetensors", ".pth", ".pt", ".pth.tar", ".bin", ".ckpt")


def torchvision_names() -> list[str]:
    """Every classification network of torchvision."""
    from torchvision import models

    names: list[str] = models.list_models(module=models)
    return names


def torchvision_weights(backbone: str) -> Any:
    """The enumeration of the weights that belong to one of torchvision's networks."""
    from torchvision import models

    return models.get_model_weights(backbone)


def known_backbone(name: str) -> str:
    """The name itself.

    Raises:
        ValueError: there is no backbone of that name.
    """
    if name in MINIMUM_PX or name in (others := torchvision_names()):
        return name
    close = difflib.get_close_matches(name, [*MINIMUM_PX, *others], n=3)
    hint = f"; close: {', '.join(close)}" if close else ""
    raise ValueError(
        f"found '{name}', needed {', '.join(MINIMUM_PX)}, or one of torchvision's {len(others)} "
        f"classification networks such as resnet18, convnext_tiny, vit_b_16{hint}"
    )


def is_weights_file(weights: str) -> bool:
    """Whether the param names a file, by its look: a folder in it, or the ending of one."""
    return "/" in weights or "\\" in weights or weights.lower().endswith(_FILES)


def weights_fault(backbone: str, weights: str) -> str:
    """Why there are no such weights of a backbone; nothing where there are."""
    if weights == NONE or is_weights_file(weights):
        return ""
    names = [NONE]
    if backbone == "efficientnet_lite0":
        names += [IMAGENET]
    elif backbone not in MINIMUM_PX:
        names += [IMAGENET, *(entry.name for entry in torchvision_weights(backbone))]
    if weights in names:
        return ""
    return f"found '{weights}', needed for {backbone} {', '.join(names)} or the path of a file"


def side_fault(backbone: str, weights: str, side_px: int) -> str:
    """Why a backbone cannot take square images of a side; nothing where it can."""
    least, fixed = _sides(backbone, weights)
    if fixed and side_px not in fixed:
        sides = " or ".join(map(str, fixed))
        return f"images of {side_px} pixels a side, needed {sides}: {backbone} takes no other size"
    if side_px < least:
        return f"images of {side_px} pixels a side, needed at least {least} for {backbone}"
    return ""


def _sides(backbone: str, weights: str) -> tuple[int, Sequence[int]]:
    """The smallest side, and the only ones where those are few."""
    if backbone in MINIMUM_PX:
        return MINIMUM_PX[backbone], ()
    members = torchvision_weights(backbone)
    if weights == IMAGENET:
        entries = [members.DEFAULT]
    else:
        entries = [members[weights]] if weights in members.__members__ else list(members)
    # What each of torchvision's weights says of the images that the network can take.
    sides = sorted({min(entry.meta["min_size"]) for entry in entries})
    return sides[0], (sides if backbone.startswith(_FIXED) else ())


def weights_path(weights: str) -> Path:
    """The file that the param names."""
    return Path(weights).expanduser()
