"""The classifier over base classes that `pretrain` trains, by name."""

from collections.abc import Callable
from pathlib import Path

from torch import nn

from tasks.artifacts.model_store import read_module
from tasks.errors import DataError
from tasks.heads.cosine import CosineClassifier
from tasks.heads.linear import LinearClassifier


def build_classifier(name: str, dim: int, classes: int) -> nn.Module:
    """Build an untrained classifier; weights come from torch's global generator.

    Args:
        name: `cosine` or `linear`.
        dim: length of an embedding.
        classes: how many base classes.

    Raises:
        DataError: there is no classifier of that name.
    """
    builders: dict[str, Callable[[int, int], nn.Module]] = {
        "cosine": CosineClassifier,
        "linear": LinearClassifier,
    }
    if name not in builders:
        raise DataError(f"found classifier {name}, needed one of {', '.join(builders)}")
    return builders[name](dim, classes)


def read_classifier(folder: Path, made_by: str) -> nn.Module:
    """Build the classifier that a stage wrote, with its weights, in evaluation mode.

    Args:
        folder: holds `model.json` and `classifier.safetensors`.
        made_by: the stage that writes it, for messages.

    Raises:
        DataError: something is missing, damaged, or of another version.
    """
    return read_module(folder, "classifier", made_by, lambda entry: build_classifier(**entry))
