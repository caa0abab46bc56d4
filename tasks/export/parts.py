"""The trained parts of the earlier stages, wired as the modules that become graphs."""

from dataclasses import dataclass

import torch
from torch import nn

from tasks.artifacts.contract import GraphContract, graph_contracts
from tasks.artifacts.image_store import ImageStore
from tasks.artifacts.layout import METATRAINED, PRETRAINED
from tasks.backbones.build import read_encoder
from tasks.errors import DataError
from tasks.export.modules import Adapt, ImageClassifier, ImageEncoder, Predict
from tasks.framing.graph import Framing
from tasks.heads.classifier import read_classifier
from tasks.learners.learner import as_learner, read_learner


@dataclass(frozen=True)
class Parts:
    """What the bundle is made of, in evaluation mode.

    Attributes:
        encoder: with the encoder of metatrain.
        adapt: with the learner of metatrain.
        predict: with the same learner.
        classifier: with the encoder and the classifier of pretrain.
        base_classes: names of the classifier's classes.
    """

    encoder: ImageEncoder
    adapt: Adapt
    predict: Predict
    classifier: ImageClassifier
    base_classes: tuple[str, ...]

    @property
    def dim(self) -> int:
        """Length of an embedding."""
        return self.encoder.encoder.width

    @property
    def feature_dim(self) -> int:
        """Length of what the learner makes of an embedding before its rule."""
        features = as_learner(self.adapt.learner).features(torch.zeros(1, self.dim))
        return int(features.shape[1])

    def modules(self) -> dict[str, nn.Module]:
        """What becomes a graph, by the graph's name."""
        return {
            "encoder": self.encoder,
            "adapt": self.adapt,
            "predict": self.predict,
            "classifier": self.classifier,
        }

    def contracts(self) -> dict[str, GraphContract]:
        """What each graph promises, by name."""
        return graph_contracts(self.dim, len(self.base_classes), self.feature_dim)


def read_parts(store: ImageStore) -> Parts:
    """Read what pretrain and metatrain wrote.

    Args:
        store: the images they trained on; says how they were framed.

    Raises:
        DataError: something is missing or damaged, or is of other base classes.
    """
    framing = Framing(store.manifest["framing"], store.side_px, 1 if store.channels == 1 else 3)
    base_classes = tuple(one.name for one in store.classes("base"))
    classifier = ImageClassifier(
        ImageEncoder(framing, read_encoder(PRETRAINED, "pretrain")),
        read_classifier(PRETRAINED, "pretrain"),
    )
    known = next(
        len(weight) for weight in classifier.classifier.state_dict().values() if weight.ndim == 2
    )
    if known != len(base_classes):
        raise DataError(
            f"{PRETRAINED}: the classifier knows {known} classes, needed {len(base_classes)}, the "
            "base classes of the image store; run stage pretrain again"
        )
    learner = read_learner(METATRAINED, "metatrain")
    parts = Parts(
        ImageEncoder(framing, read_encoder(METATRAINED, "metatrain")),
        Adapt(learner),
        Predict(learner),
        classifier,
        base_classes,
    )
    for module in parts.modules().values():
        module.eval()
    return parts
