"""What classes of different parts have in common: names, and images that are the very same."""

import hashlib
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

from tasks.artifacts.image_store import ImageClass, Part

_TOLD = 5  # examples of each kind


@dataclass(frozen=True)
class Shared:
    """What two parts share.

    Attributes:
        first: name of a part.
        second: of another.
        images: how many images of the second stand in the first too, pixel by pixel as stored.
        image_classes: some of the classes of the second that they are in.
        names: how many class names of the second name a class of the first too.
        class_names: some of them.
    """

    first: str
    second: str
    images: int
    image_classes: tuple[str, ...]
    names: int
    class_names: tuple[str, ...]


def shared(parts: Mapping[str, Part]) -> list[Shared]:
    """Every pair of parts that shares something, domains among themselves left out.

    Args:
        parts: `base` and `validation` first, which training sees; then what is measured on.
    """
    trained = ("base", "validation")
    pixels = {name: _digests(part) for name, part in parts.items()}
    names = {name: _names(part.classes) for name, part in parts.items()}
    found = []
    for first, second in combinations(parts, 2):
        if first not in trained:
            continue
        known = set(pixels[first])
        twice = [at for at, digest in enumerate(pixels[second]) if digest in known]
        same = [names[second][name] for name in names[second] if name in names[first]]
        if twice or same:
            part = parts[second]
            classes = dict.fromkeys(part.classes[part.labels[at]].name for at in twice)
            found.append(
                Shared(
                    first,
                    second,
                    len(twice),
                    tuple(classes)[:_TOLD],
                    len(same),
                    tuple(same[:_TOLD]),
                )
            )
    return found


def folded(name: str) -> str:
    """A name without case, width and ways to write an accent, which look or read the same."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


def imagenet_names(classes: Sequence[ImageClass]) -> list[str]:
    """Names of classes that are names of ImageNet's 1,000 classes too."""
    from torchvision.models import ResNet18_Weights  # seconds, which most evaluations do without

    known = {folded(name) for name in ResNet18_Weights.IMAGENET1K_V1.meta["categories"]}
    return [one.name for one in classes if folded(one.name.replace("_", " ")) in known]


def leakage(parts: Mapping[str, Part], weights: str | None) -> dict[str, Any]:
    """What `metrics.json` says of leakage.

    Args:
        parts: as `shared` takes them.
        weights: that the backbone came with; None where it came with none.
    """
    told: dict[str, Any] = {
        "checked": list(parts),
        "shared": [asdict(one) for one in shared(parts)],
        "weights": weights,
    }
    if weights:
        told["imagenet_class_names"] = {
            name: imagenet_names(part.classes)
            for name, part in parts.items()
            if name not in ("base", "validation")
        }
    return told


def weights_of(description: Mapping[str, Any]) -> str | None:
    """The weights of others that a pretrained backbone started from, by `model.json`."""
    entries = (description.get("weights"), description.get("encoder", {}).get("weights"))
    named = next((one for one in entries if one), None)
    if isinstance(named, Mapping):
        named = named.get("name", "weights of unknown origin")
    return None if named is None or str(named) == "none" else str(named)


def _digests(part: Part) -> list[bytes]:
    return [hashlib.blake2b(image.tobytes(), digest_size=16).digest() for image in part.images]


def _names(classes: Sequence[ImageClass]) -> dict[str, str]:
    return {folded(one.name): one.name for one in classes}
