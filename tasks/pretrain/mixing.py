"""Images mixed in pairs, and the loss against both labels of a pair.

Sources: Zhang et al., mixup: Beyond Empirical Risk Minimization, 2018, equation 1 and section 3;
Yun et al., CutMix: Regularization Strategy to Train Strong Classifiers, 2019, equations 1 and 2.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

MixingName = Literal["none", "mixup", "cutmix"]


@dataclass(frozen=True)
class Mixed:
    """A batch, or rows of one, in which each image may hold something of another.

    Attributes:
        images: `(batch, channels, side, side)`, 0..1.
        partners: which image of the whole batch each was mixed with, `(batch,)` int64.
        share: how much of each image is its own, 0..1.
    """

    images: Float[Tensor, "batch channels side side"]
    partners: Int64[Tensor, " batch"]
    share: float

    def loss(
        self,
        labels: Int64[Tensor, " whole"],
        against: Callable[[Tensor], Float[Tensor, ""]],
        rows: slice = slice(None),
    ) -> Float[Tensor, ""]:
        """`share * L(own labels) + (1 - share) * L(partners' labels)`.

        Equal to the loss against mixed one-hot targets, because cross-entropy is linear in them.

        Args:
            labels: of the images of the whole batch before mixing.
            against: the loss of the logits of `images` against the labels it is given.
            rows: where in the whole batch `images` stand.
        """
        own = labels[rows]
        if self.share == 1:
            return against(own)
        return self.share * against(own) + (1 - self.share) * against(labels[self.partners])


def mix(
    name: MixingName,
    images: Float[Tensor, "batch channels side side"],
    alpha: float,
    generator: np.random.Generator,
) -> Mixed:
    """Mix each image of a batch with another of it; one share for the whole batch.

    The share is drawn from Beta(alpha, alpha). `mixup` blends: `share * own + (1 - share) *
    other`. `cutmix` pastes a rectangle of the other whose sides are `sqrt(1 - share)` of the
    image's, at a uniform place and cut at the border; the share is then what is really left.

    Args:
        name: `none` gives the images as they are and draws nothing.
        images: 0 (black) to 1 (white).
        alpha: large ones make even mixtures likely, small ones make nearly pure images likely.
        generator: source of the random numbers.
    """
    if name == "none":
        return Mixed(images, torch.arange(len(images)), 1.0)
    share = float(generator.beta(alpha, alpha))
    partners = torch.from_numpy(generator.permutation(len(images)))
    if name == "mixup":
        return Mixed(share * images + (1 - share) * images[partners], partners, share)
    return _cutmix(images, partners, share, generator)


def _cutmix(
    images: Tensor, partners: Tensor, share: float, generator: np.random.Generator
) -> Mixed:
    height, width = images.shape[-2:]
    rows, columns = (_span(side, share, generator) for side in (height, width))
    pasted = images.clone()
    pasted[..., rows, columns] = images[partners][..., rows, columns]
    area = (rows.stop - rows.start) * (columns.stop - columns.start)
    return Mixed(pasted, partners, 1 - area / (height * width))


def _span(side: int, share: float, generator: np.random.Generator) -> slice:
    centre, half = int(generator.integers(side)), int(side * sqrt(1 - share)) // 2
    return slice(max(0, centre - half), min(side, centre + half))
