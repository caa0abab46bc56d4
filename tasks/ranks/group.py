"""The processes of one training, and how each knows its part.

Every rank holds the same weights, draws the same batches and takes the same steps; they differ in
which rows of a batch they go through. What they learn of them is added up before anybody moves.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn

from tasks.errors import ParametersError


@final
@dataclass(frozen=True)
class Ranks:
    """One process among those of a training; alone, nothing here talks to anybody.

    Every rank calls the same methods in the same order, or all of them wait for ever.

    Attributes:
        number: of this process, 0 .. size - 1.
        size: how many there are.
    """

    number: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this one writes what all of them found."""
        return self.number == 0

    @property
    def alone(self) -> bool:
        """Whether there is no other."""
        return self.size == 1

    def rows(self, count: int) -> slice:
        """Which of `count` rows are this rank's: neighbours, as many as the others' or one less.

        Raises:
            ParametersError: there are fewer rows than ranks.
        """
        if count < self.size:
            raise ParametersError(
                f"found {count} images or episodes in a batch for {self.size} processes, needed "
                f"one for each; ask for processes: {count} or less"
            )
        return slice(self.number * count // self.size, (self.number + 1) * count // self.size)

    def share(self, count: int) -> float:
        """The part of `count` rows that is this rank's, 0..1."""
        own = self.rows(count)
        return int(own.stop - own.start) / count

    def sum(self, value: Tensor) -> Tensor:
        """The sum of the tensors that all ranks give, the same bits on each.

        Args:
            value: of one shape on all ranks; holds the sum afterwards.
        """
        if not self.alone:
            torch.distributed.all_reduce(value)
        return value

    def gathered(self, value: Tensor) -> Tensor:
        """The tensors of all ranks, one below the other `(rank, ...)`, of one shape each."""
        if self.alone:
            return value[None]
        parts = [torch.empty_like(value) for _ in range(self.size)]
        torch.distributed.all_gather(parts, value.contiguous())
        return torch.stack(parts)

    def joined(self, own: Tensor, count: int) -> Tensor:
        """All of `count` rows, of which each rank brings those that `rows` names.

        Args:
            own: this rank's `(row, ...)`.
            count: of all ranks.
        """
        if self.alone:
            return own
        most = -(-count // self.size)
        padded = own.new_zeros(most, *own.shape[1:])
        padded[: len(own)] = own
        parts = self.gathered(padded)
        spans = (Ranks(number, self.size).rows(count) for number in range(self.size))
        return torch.cat(
            [part[: span.stop - span.start] for part, span in zip(parts, spans, strict=True)]
        )

    def add_gradients(self, parameters: Iterable[nn.Parameter], share: float) -> None:
        """Put the mean over all rows where each rank has the mean over its own.

        All gradients lie end to end in one tensor while they are added: one meeting a step.

        Args:
            parameters: the same on all ranks; those without a gradient have none on any.
            share: the part of the rows that is this rank's.
        """
        if self.alone:
            return
        gradients = [one.grad for one in parameters if one.grad is not None]
        whole = self.sum(torch.cat([one.flatten() for one in gradients]) * share)
        parts = torch.split(whole, [one.numel() for one in gradients])
        for one, part in zip(gradients, parts, strict=True):
            one.copy_(part.view_as(one))

    def tells(self, fact: bool) -> bool:
        """What the first rank says, on every rank."""
        if self.alone:
            return fact
        told = torch.tensor([fact])
        torch.distributed.broadcast(told, src=0)
        return bool(told.item())


ALONE = Ranks()
