"""Transfer policies: which part of the backbone learns, when, and how fast.

- `full`: everything, at one rate.
- `frozen`: nothing but the head. The tutorial's transfer: every image is embedded once.
- `last_block`: the head and the block nearest to it.
- `discriminative`: everything; each block nearer the input at a lower rate than the next.
- `gradual`: the head first, then one block more at a time, from the head down.

A block that does not learn stays as it is altogether, its BatchNorm statistics included.

Source: Howard and Ruder, Universal Language Model Fine-tuning for Text Classification, 2018,
sections 3.2 (discriminative) and 3.3 (gradual).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from torch import nn

from tasks.backbones.encoder import Encoder
from tasks.pretrain.blocks import Block, blocks

PolicyName = Literal["frozen", "last_block", "discriminative", "gradual", "full"]


@dataclass(frozen=True)
class Policy:
    """One policy over one encoder.

    Attributes:
        name: see above.
        encoder: whose blocks learn or do not.
        blocks: nearest the input first.
        layer_decay: read by `discriminative`.
        unfreeze_every_epochs: read by `gradual`.
    """

    name: PolicyName
    encoder: Encoder
    blocks: Sequence[Block]
    layer_decay: float
    unfreeze_every_epochs: int

    def learning_blocks(self, epoch: int) -> int:
        """How many blocks learn in an epoch (0-based), counted from the head."""
        if self.name == "frozen":
            return 0
        if self.name == "last_block":
            return 1
        if self.name == "gradual":
            return min(epoch // self.unfreeze_every_epochs, len(self.blocks))
        return len(self.blocks)

    def apply(self, epoch: int) -> None:
        """Set what learns in this epoch (0-based), and the modes that go with it."""
        learning = self.learning_blocks(epoch)
        if learning == len(self.blocks):
            self.encoder.requires_grad_(True).train()
            return
        # The loose modules between blocks, such as dropout, belong to what does not learn.
        self.encoder.requires_grad_(False).eval()
        for block in self.blocks[len(self.blocks) - learning :]:
            for module in block.modules:
                module.train()
            for parameter in block.parameters:
                parameter.requires_grad_(True)

    def groups(self, head: nn.Module, learning_rate: float) -> list[dict[str, Any]]:
        """Groups of parameters for the optimizer: all that will learn in some epoch.

        The head learns at `learning_rate`; of `discriminative`, the block that is `k`-th from the
        head at `learning_rate * layer_decay ** k`, k = 1, 2, ...

        Args:
            head: the classifier; learns under every policy.
            learning_rate: the highest rate.
        """
        own = list(head.parameters())
        if self.name == "frozen":
            return [{"params": own, "lr": learning_rate}]
        if self.name == "last_block":
            return [{"params": [*self.blocks[-1].parameters, *own], "lr": learning_rate}]
        if self.name == "discriminative":
            depth = len(self.blocks)
            below = [
                {
                    "params": list(block.parameters),
                    "lr": learning_rate * self.layer_decay ** (depth - place),
                }
                for place, block in enumerate(self.blocks)
            ]
            return [*below, {"params": own, "lr": learning_rate}]
        return [{"params": [*self.encoder.parameters(), *own], "lr": learning_rate}]


def transfer_policy(
    name: PolicyName, encoder: Encoder, *, layer_decay: float, unfreeze_every_epochs: int
) -> Policy:
    """The policy of a name over an encoder, in the state of the first epoch.

    Args:
        name: see this module.
        encoder: its blocks are found, see `tasks.pretrain.blocks`.
        layer_decay: what the rate of a block is multiplied by for the one nearer the input.
        unfreeze_every_epochs: after how many epochs one block more learns.
    """
    policy = Policy(name, encoder, blocks(encoder), layer_decay, unfreeze_every_epochs)
    policy.apply(0)
    return policy
