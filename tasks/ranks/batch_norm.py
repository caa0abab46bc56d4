"""BatchNorm over a batch that lies on several ranks: the statistics are those of all its images.

torch's own `SyncBatchNorm` does this on CUDA alone. Symbols: `x` an activation, `y` what comes of
it, `m` and `v` mean and biased variance over all rows of all ranks, `n` their number,
`s = 1 / sqrt(v + eps)`, `h = (x - m) * s`, `w` and `b` the layer's own. Forward `y = w * h + b`;
backward, with `g` the gradient of `y` and sums over all rows of all ranks,

    dx = w * s * (g - sum(g) / n - h * sum(g * h) / n),  dw = sum(g * h),  db = sum(g)

of which `dw` and `db` stay sums over a rank's own rows: they are added up with all other gradients.
Both directions are torch's kernels for given statistics, so a layer costs what it costs alone, and
two short meetings of the ranks.

Sources: Ioffe and Szegedy, Batch Normalization, 2015, section 3, for `dx`; Chan, Golub and LeVeque,
Updating Formulae and a Pairwise Algorithm for Computing Sample Variances, 1979, equation 2.1, for
`v` from the ranks' own, which unlike a mean of squares loses no digits to a large `m`.
"""

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from tasks.ranks.group import Ranks


def share_statistics(network: nn.Module, ranks: Ranks) -> None:
    """Have every BatchNorm below a module normalise by the batches of all ranks, in training.

    Args:
        network: changed in place; parameters, buffers and their names stay.
        ranks: which hold parts of one batch.
    """
    for name, child in network.named_children():
        if isinstance(child, _BatchNorm):
            setattr(network, name, SharedBatchNorm(child, ranks))
        else:
            share_statistics(child, ranks)


class SharedBatchNorm(_BatchNorm):
    """A BatchNorm of any number of axes; in evaluation mode as any other.

    Args:
        like: whose parameters and buffers it takes over.
        ranks: which hold parts of one batch.
    """

    def __init__(self, like: _BatchNorm, ranks: Ranks) -> None:
        super().__init__(
            like.num_features, like.eps, like.momentum, like.affine, like.track_running_stats
        )
        for name, parameter in like.named_parameters():
            setattr(self, name, parameter)
        for name, buffer in like.named_buffers():
            setattr(self, name, buffer)
        self.train(like.training)
        self._ranks = ranks

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 -- as the class above names it
        """Normalise `(batch, channel, ...)`."""
        if not self.training:
            return super().forward(input)
        count, mean, variance = _statistics(input.detach(), self._ranks)
        self._remember(count, mean, variance)
        weight = torch.ones_like(mean) if self.weight is None else self.weight
        bias = torch.zeros_like(mean) if self.bias is None else self.bias
        over = _Over(mean, variance, count, self.eps, self._ranks)
        return cast(Tensor, _Normalise.apply(input, weight, bias, over))

    def _check_input_dim(self, input: Tensor) -> None:  # noqa: A002
        """Nothing: the layer that this one stands in for would take it."""

    def _remember(self, count: float, mean: Tensor, variance: Tensor) -> None:
        if not self.track_running_stats or self.running_mean is None:
            return
        assert self.running_var is not None and self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        kept = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, kept)
        self.running_var.lerp_(variance * (count / (count - 1)), kept)


def _statistics(images: Tensor, ranks: Ranks) -> tuple[float, Tensor, Tensor]:
    """Number of rows, mean and biased variance of each channel, over all ranks."""
    exact = images.float() if images.dtype in (torch.bfloat16, torch.float16) else images
    mean, variance = torch.batch_norm_update_stats(exact, None, None, 0.0)
    number = mean.new_tensor([images.numel() / images.shape[1]])
    each = ranks.gathered(torch.cat([number, mean, variance]))
    numbers, (means, variances) = each[:, :1], each[:, 1:].chunk(2, dim=1)
    count = numbers.sum()
    mean = (means * numbers).sum(0) / count
    variance = ((variances + (means - mean) ** 2) * numbers).sum(0) / count
    return float(count), mean, variance


@dataclass(frozen=True)
class _Over:
    """What a batch is normalised by: symbols `m`, `v`, `n`, and eps."""

    mean: Tensor
    variance: Tensor
    count: float
    eps: float
    ranks: Ranks


class _Normalise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor, bias: Tensor, over: _Over) -> Tensor:
        ctx.save_for_backward(images, weight)
        ctx.over = over
        return F.batch_norm(images, over.mean, over.variance, weight, bias, eps=over.eps)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        (images, weight), over = ctx.saved_tensors, ctx.over
        given = (over.mean, over.variance)
        # Of a rank's own rows sum(g * h) and sum(g) alone: the map that the kernel could add to
        # them would be written once more than is needed.
        _, of_weight, of_bias = torch.ops.aten.native_batch_norm_backward(
            upstream, images, weight, *given, None, None, False, over.eps, [False, True, True]
        )
        sums = over.ranks.sum(torch.stack([of_weight, of_bias])) / over.count
        factor = weight * (over.variance + over.eps).rsqrt()
        # What the statistics owe to every row is an affine map of h; to it comes what the row owes.
        slope, shift = -factor * sums
        slopes = F.batch_norm(images, *given, slope, shift, eps=over.eps)
        slopes.addcmul_(upstream, factor.view(-1, *[1] * (images.dim() - 2)))
        return slopes, of_weight, of_bias, None
