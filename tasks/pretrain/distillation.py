"""Self-distillation: a network learns from the one before it, of the same kind.

Sources: Tian et al., Rethinking Few-Shot Image Classification: a Good Embedding Is All You Need?,
2020, section 3.3; Furlanello et al., Born-Again Neural Networks, 2018; the softened targets and the
factor T^2 from Hinton et al., Distilling the Knowledge in a Neural Network, 2015, section 2.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from tasks.backbones.encoder import Encoder


@dataclass(frozen=True)
class Teacher:
    """The best state of the generation before; it only gives its opinion.

    Attributes:
        encoder: in evaluation mode.
        classifier: likewise.
        weight: of the teacher's opinion against the labels', 0..1.
        temperature: divides both sides' logits; high ones show what the teacher thinks of the
            classes that it holds for wrong.
    """

    encoder: Encoder
    classifier: nn.Module
    weight: float
    temperature: float

    @torch.no_grad()
    def logits(
        self, images: Float[Tensor, "batch channels side side"]
    ) -> Float[Tensor, "batch classes"]:
        """What the teacher thinks of the very images that the student sees."""
        self.encoder.eval()
        self.classifier.eval()
        scores: Tensor = self.classifier(self.encoder(images))
        return scores

    def loss(
        self,
        student: Float[Tensor, "batch classes"],
        teacher: Float[Tensor, "batch classes"],
        labelled: Float[Tensor, ""],
    ) -> Float[Tensor, ""]:
        """`(1 - weight) * labelled + weight * T^2 * KL(teacher || student)` at temperature T.

        T^2 keeps the gradient of the second part as large as that of the first whatever T.

        Args:
            student: logits that learn.
            teacher: logits as `logits` gives them.
            labelled: the loss against the labels.
        """
        heat = self.temperature
        apart = F.kl_div(
            F.log_softmax(student / heat, 1),
            F.log_softmax(teacher / heat, 1),
            reduction="batchmean",
            log_target=True,
        )
        return (1 - self.weight) * labelled + self.weight * heat**2 * apart

    def state_dict(self) -> dict[str, Any]:
        """The teacher's weights, for `load_state_dict`."""
        return {
            "encoder": self.encoder.state_dict(),
            "classifier": self.classifier.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take the weights that `state_dict` gave."""
        self.encoder.load_state_dict(state["encoder"])
        self.classifier.load_state_dict(state["classifier"])
