"""Gradient-based learners: one inner loop, and a table of what moves in it.

A linear head over unit-length embeddings takes a few gradient steps on the support, and with some
learners the network below it too. The head starts at the prototypes,
`W_c = scale * direction(mean of class c)` and `b = 0`, with a learned scale: a start of its own for
each class would tie the learner to one way and one order of classes, and one vector for all of them
would change no softmax. Zero inner steps are therefore the backbone with prototypes.

| learner | moves in the inner loop | rates | order | trained by the outer loop |
|---|---|---|---|---|
| `anil` | head | learned, per step | 2 | network, head |
| `maml` | network, head | fixed | 2 | network, head |
| `fomaml` | network, head | fixed | 1 | network, head |
| `meta_sgd` | network, head | learned, per parameter | 2 | network, head |
| `maml_plus_plus` | network, head | learned, per tensor and step | 2 | network, head |
| `reptile` | network, head | fixed | the difference | network |
| `mtl` | head | learned, per step | 2 | scale and shift of frozen filters, head |
| `linear_fine_tuning` | head, from zero | fixed | - | nothing: the plain baseline |
| `network_fine_tuning` | network, head | fixed | - | nothing: the plain baseline |

BatchNorm runs on its running statistics in every phase, unless the spec says `transductive`: then
every forward pass of an episode normalises by its own batch, at test too.

Source: Finn, Abbeel and Levine, Model-Agnostic Meta-Learning, 2017, equation 1; Raghu et al., Rapid
Learning or Feature Reuse?, 2020, section 4 (ANIL); Nichol, Achiam and Schulman, On First-Order
Meta-Learning Algorithms, 2018, algorithm 1 (Reptile); Li et al., Meta-SGD, 2017; Antoniou et al.,
How to Train Your MAML, 2019; Sun et al., Meta-Transfer Learning, 2019; Triantafillou et al.,
Meta-Dataset, 2020, section 3 (the start at the prototypes, Proto-MAML).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from tasks.heads.cosine import direction
from tasks.heads.linear import linear_logits
from tasks.heads.prototype import absent_bias, membership, prototypes
from tasks.heads.softmax import cross_entropy_gradient
from tasks.learners.inner_loop import Parameters, descend, gradient_of, last
from tasks.learners.rates import RateKind, Rates
from tasks.learners.spec import LearnerSpec
from tasks.learners.steps_by_scores import steps_by_scores

WEIGHT, BIAS = "head.weight", "head.bias"
NETWORK = "encoder."


@dataclass(frozen=True)
class Family:
    """What a gradient-based learner moves, and how.

    Attributes:
        moves_network: whether the inner loop moves the network beside the head.
        rates: how rates are given.
        order: of the meta-gradient; 0 takes the difference that the inner loop made.
        trains: what the outer loop trains of the network.
        start: of the head.
    """

    moves_network: bool
    rates: RateKind
    order: Literal[0, 1, 2]
    trains: Literal["network", "scale_and_shift", "nothing"] = "network"
    start: Literal["prototypes", "zeros"] = "prototypes"


FAMILIES: Mapping[str, Family] = {
    "anil": Family(False, "per_step", 2),
    "maml": Family(True, "fixed", 2),
    "fomaml": Family(True, "fixed", 1),
    "meta_sgd": Family(True, "per_parameter", 2),
    "maml_plus_plus": Family(True, "per_tensor_and_step", 2),
    "reptile": Family(True, "fixed", 0),
    "mtl": Family(False, "per_step", 2, trains="scale_and_shift"),
    "linear_fine_tuning": Family(False, "fixed", 1, trains="nothing", start="zeros"),
    "network_fine_tuning": Family(True, "fixed", 1, trains="nothing"),
}


class GradientLearner(nn.Module):
    """A learner of the table above.

    Args:
        spec: its name, a key of `FAMILIES`, and its numbers.
    """

    def __init__(self, spec: LearnerSpec) -> None:
        super().__init__()
        self.family = FAMILIES[spec.name]
        self.moves_network = self.family.moves_network
        self.normalisation = spec.normalisation
        self.first_order = spec.first_order or self.family.order < 2
        self.scale = nn.Parameter(torch.tensor(float(spec.initial_temperature)))
        initial = dict.fromkeys((WEIGHT, BIAS), spec.inner_learning_rate)
        shapes: dict[str, Sequence[int]] = {WEIGHT: (spec.dim,), BIAS: ()}
        if self.moves_network:
            named = {NETWORK + name: shape for name, shape in spec.network_shapes.items()}
            initial |= dict.fromkeys(named, spec.network_learning_rate)
            shapes |= named
        self.rates = Rates(self.family.rates, initial, shapes, spec.inner_steps)

    def features(self, embeddings: Float[Tensor, "*rows dim"]) -> Float[Tensor, "*rows dim"]:
        """Embeddings at length one."""
        return direction(embeddings)

    def adapt(
        self,
        embeddings: Float[Tensor, "*episodes support dim"],
        labels: Int64[Tensor, "*episodes support"],
        classes: Int64[Tensor, " way"],
    ) -> tuple[Float[Tensor, "*episodes way dim"], Float[Tensor, "*episodes way"]]:
        """Weight and bias after the inner steps of the head alone; see `Learner.adapt`."""
        member = membership(labels, classes, embeddings.dtype)
        features, absent = self.features(embeddings), absent_bias(member)
        start, rates = self._start(features, member), self.rates((WEIGHT, BIAS))
        fewer_images = features.shape[-2] < features.shape[-1]
        if self.rates.alike_within_steps and fewer_images and not torch.is_grad_enabled():
            return _adapted_by_scores(features, member, start[WEIGHT], absent, rates)

        def gradient(at: Parameters) -> Parameters:
            weight, bias = cross_entropy_gradient(features, member, at[WEIGHT], at[BIAS] + absent)
            return {WEIGHT: weight, BIAS: bias}

        rule = last(descend(start, gradient, rates, first_order=self.first_order))
        return rule[WEIGHT], rule[BIAS] + absent

    def adapt_network(
        self,
        encoder: nn.Module,
        images: Float[Tensor, "support channels side side"],
        labels: Int64[Tensor, " support"],
        classes: Int64[Tensor, " way"],
    ) -> dict[str, Tensor]:
        """Take the inner steps of network and head on one episode.

        Where gradients are recorded, the result is differentiable in the encoder's parameters, to
        the learner's order; elsewhere nothing is kept.

        Args:
            encoder: embeds images; stays as it is.
            images: of the support, 0 (black) to 1 (white).
            labels: class of each; one that is not in `classes` is ignored.
            classes: labels to tell apart.

        Returns:
            The parameters for `network_logits`.
        """
        return last(self.network_steps(encoder, images, labels, classes))

    def network_steps(
        self,
        encoder: nn.Module,
        images: Float[Tensor, "support channels side side"],
        labels: Int64[Tensor, " support"],
        classes: Int64[Tensor, " way"],
    ) -> Iterator[dict[str, Tensor]]:
        """The parameters before the first step and after each one; see `adapt_network`."""
        member = membership(labels, classes, images.dtype)
        known = member.sum(dim=-1) > 0
        images, member = images[known], member[known]
        absent, truth = absent_bias(member), member.argmax(dim=-1)
        network = {NETWORK + name: value for name, value in encoder.named_parameters()}
        start = network | self._start(self.features(encoder(images)), member)

        def loss(parameters: Parameters) -> Tensor:
            return F.cross_entropy(self.network_logits(encoder, parameters, images, absent), truth)

        rates = self.rates()
        moved = list(rates[0]) if rates else []
        gradient = gradient_of(loss, moved, differentiable=not self.first_order)
        for state in descend(start, gradient, rates, first_order=self.first_order):
            yield state | {BIAS: state[BIAS] + absent}

    def network_logits(
        self,
        encoder: nn.Module,
        parameters: Parameters,
        images: Float[Tensor, "query channels side side"],
        absent: Float[Tensor, " way"] | float = 0.0,
    ) -> Float[Tensor, "query way"]:
        """Scores of images under adapted parameters.

        Args:
            encoder: gives the structure of the network.
            parameters: as `adapt_network` returned them.
            images: of the queries.
            absent: is added to the bias.
        """
        network = {
            name.removeprefix(NETWORK): value
            for name, value in parameters.items()
            if name.startswith(NETWORK)
        }
        embeddings = cast(Tensor, functional_call(encoder, network, (images,)))
        return linear_logits(
            self.features(embeddings), parameters[WEIGHT], parameters[BIAS] + absent
        )

    def _start(
        self,
        features: Float[Tensor, "*episodes support dim"],
        member: Float[Tensor, "*episodes support way"],
    ) -> dict[str, Tensor]:
        means = prototypes(features, member)
        if self.family.start == "zeros":
            weight = torch.zeros_like(means)
        else:
            weight = self.scale * direction(means)
        return {WEIGHT: weight, BIAS: torch.zeros_like(means[..., 0])}


def _adapted_by_scores(
    features: Tensor,
    member: Tensor,
    weight: Tensor,
    bias: Tensor,
    rates: Sequence[Mapping[str, Tensor | float]],
) -> tuple[Tensor, Tensor]:
    """Weight and bias after the steps, which moved them at the same rates."""
    each = torch.tensor([[float(rate[WEIGHT]) for rate in rates]], dtype=features.dtype)
    taken = last(steps_by_scores(features, member, weight, bias, each.to(features.device)))
    errors = taken[..., 0, :, :]
    return weight - errors @ features, bias - errors.sum(dim=-1)
