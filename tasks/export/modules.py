"""What becomes a graph: the trained parts, wired from the tensors that callers have."""

from typing import cast

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor, nn

from tasks.backbones.encoder import Encoder
from tasks.framing.graph import Framing
from tasks.heads.linear import linear_logits
from tasks.learners.learner import as_learner


class ImageEncoder(nn.Module):
    """Frames images and embeds them: `encoder.onnx`.

    Args:
        framing: the module that framed the training images.
        encoder: trained.
    """

    def __init__(self, framing: Framing, encoder: Encoder) -> None:
        super().__init__()
        self.framing = framing
        self.encoder = encoder

    def forward(self, images: UInt8[Tensor, "batch height width 3"]) -> Float[Tensor, "batch dim"]:
        """Embed RGB images, 0..255, of any size: `(batch, dim)`."""
        return self.embed_framed(self.framing(images))

    def embed_framed(
        self, framed: UInt8[Tensor, "batch side side channels"]
    ) -> Float[Tensor, "batch dim"]:
        """Embed framed images, 0..255: `(batch, dim)`, dim being a constant in the graph."""
        pixels = framed.permute(0, 3, 1, 2).to(torch.float32) / 255
        return cast(Tensor, self.encoder(pixels)).reshape(-1, self.encoder.width)


class ImageClassifier(nn.Module):
    """Frames images and tells the base classes apart: `classifier.onnx`.

    Args:
        images: from images to embeddings, as pretrained.
        classifier: maps embeddings to logits of the base classes.
    """

    def __init__(self, images: ImageEncoder, classifier: nn.Module) -> None:
        super().__init__()
        self.images = images
        self.classifier = classifier

    def forward(
        self, images: UInt8[Tensor, "batch height width 3"]
    ) -> Float[Tensor, "batch classes"]:
        """Probabilities of the base classes `(batch, classes)` for RGB images, 0..255."""
        return self.classify_framed(self.images.framing(images))

    def classify_framed(
        self, framed: UInt8[Tensor, "batch side side channels"]
    ) -> Float[Tensor, "batch classes"]:
        """Probabilities of the base classes `(batch, classes)` for framed images."""
        logits: Tensor = self.classifier(self.images.embed_framed(framed))
        return logits.softmax(dim=-1)


class Adapt(nn.Module):
    """The learner's own `adapt`: `adapt.onnx`.

    Args:
        learner: a `Learner`.
    """

    def __init__(self, learner: nn.Module) -> None:
        super().__init__()
        self.learner = learner

    def forward(
        self,
        embeddings: Float[Tensor, "support dim"],
        labels: Int64[Tensor, " support"],
        classes: Int64[Tensor, " way"],
    ) -> tuple[Float[Tensor, "way feature"], Float[Tensor, " way"]]:
        """Weight and bias of each class; see `Learner.adapt`."""
        return as_learner(self.learner).adapt(embeddings, labels, classes)


class Predict(nn.Module):
    """The learner's features under the rule that `adapt` gave: `predict.onnx`.

    Args:
        learner: a `Learner`.
    """

    def __init__(self, learner: nn.Module) -> None:
        super().__init__()
        self.learner = learner

    def forward(
        self,
        embeddings: Float[Tensor, "batch dim"],
        weight: Float[Tensor, "way feature"],
        bias: Float[Tensor, " way"],
    ) -> tuple[Float[Tensor, "batch way"], Float[Tensor, "batch way"]]:
        """Logits and probabilities `(batch, way)`.

        Written out, the softmax gives 0 for a class with bias -inf, and 0 for all of them where no
        class has support; `Tensor.softmax` would give NaN there.
        """
        logits = linear_logits(as_learner(self.learner).features(embeddings), weight, bias)
        highest = logits.amax(dim=-1, keepdim=True).clamp(min=torch.finfo(torch.float32).min)
        shares = (logits - highest).exp()
        # The highest share is exactly 1, so the sum is below 1 only where all shares are 0.
        return logits, shares / shares.sum(dim=-1, keepdim=True).clamp(min=1)
