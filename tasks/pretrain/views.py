"""What the network sees of a batch in one step: images varied, and mixed in pairs."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from tasks.backbones.encoder import pixels
from tasks.device import PROCESSOR
from tasks.episodes.augmentation import Augmentation
from tasks.pretrain.mixing import Mixed, MixingName, mix
from tasks.randomness import numpy_generator, torch_generator


@dataclass(frozen=True)
class Views:
    """How images of the store are shown.

    Attributes:
        augmentation: varies every image anew in every epoch.
        mixing: how images are mixed in pairs afterwards.
        mixing_alpha: of the distribution of the shares.
        seed: `seed` of `params.yaml`.
    """

    augmentation: Augmentation
    mixing: MixingName
    mixing_alpha: float
    seed: int

    def __call__(
        self,
        stored: NDArray[np.uint8],
        batch: NDArray[np.int64],
        number: int,
        rows: slice = slice(None),
        device: torch.device = PROCESSOR,
    ) -> Mixed:
        """Show some rows of a batch.

        Args:
            stored: images `(image, side, side, channels)`, 0..255.
            batch: which of them `(batch,)`.
            number: of the step, counted over the whole training; names its random streams.
            rows: of the batch, those that are wanted; they look as they do in the whole of it.
            device: where they are wanted.
        """
        # A pair may lie in any two rows.
        varied = rows if self.mixing == "none" else slice(None)
        images = self.augmentation(
            pixels(stored[batch[varied]], device),
            torch_generator(self.seed, "pretrain", "augmentation", number),
            varied,
            of=len(batch),
        )
        stream = numpy_generator(self.seed, "pretrain", "mixing", number)
        mixed = mix(self.mixing, images, self.mixing_alpha, stream)
        if self.mixing == "none":
            return mixed
        return replace(mixed, images=mixed.images[rows], partners=mixed.partners[rows])
