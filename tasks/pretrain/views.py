"""What the network sees of a batch in one step: images varied, and mixed in pairs."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.backbones.encoder import pixels
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

    def __call__(self, images: NDArray[np.uint8], number: int) -> Mixed:
        """Show a batch.

        Args:
            images: stored images `(batch, side, side, channels)`, 0..255.
            number: of the step, counted over the whole training; names its random streams.
        """
        varied = self.augmentation(
            pixels(images), torch_generator(self.seed, "pretrain", "augmentation", number)
        )
        stream = numpy_generator(self.seed, "pretrain", "mixing", number)
        return mix(self.mixing, varied, self.mixing_alpha, stream)
