"""A network of which each rank has a copy, and whose gradients are added up as they appear."""

import warnings
from typing import cast

from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from tasks.backbones.encoder import Encoder


class Replica:
    """Encoder and classifier as torch's `DistributedDataParallel` wants them.

    After a backward pass every gradient is the mean over the ranks. It is made anew whenever what
    learns has changed, which torch's class takes down once.

    Args:
        encoder: in the same state on all ranks.
        classifier: likewise.
    """

    def __init__(self, encoder: Encoder, classifier: nn.Module) -> None:
        self._network = _Whole(encoder, classifier)
        self._learning: list[bool] = []
        self._parallel: DistributedDataParallel | None = None

    def __call__(self, images: Tensor) -> Tensor:
        """Logits of this rank's images `(batch, classes)`."""
        learning = [one.requires_grad for one in self._network.parameters()]
        if self._parallel is None or learning != self._learning:
            self._learning = learning
            with warnings.catch_warnings():
                # The option that is to follow `broadcast_buffers` is not in older versions.
                warnings.simplefilter("ignore", FutureWarning)
                self._parallel = self._wrapped()
        return cast(Tensor, self._parallel(images))

    def _wrapped(self) -> DistributedDataParallel:
        return DistributedDataParallel(
            self._network,
            broadcast_buffers=False,  # they are the same: so are the statistics of each batch
            # Without it torch lays out gradients anew after the first step, and a training that
            # goes on from a checkpoint would add them in another order.
            find_unused_parameters=True,
        )


class _Whole(nn.Module):
    def __init__(self, encoder: Encoder, classifier: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.classifier = classifier

    def forward(self, images: Tensor) -> Tensor:
        return cast(Tensor, self.classifier(self.encoder(images)))
