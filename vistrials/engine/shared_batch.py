"""The processes of a training as parts of one batch: what its models, losses and batch norms ask of each other."""

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, distributed, nn
from torch.nn.functional import batch_norm

from vistrials.engine.seeding import step_seed
from vistrials.models.shared_batch import Counts


class Ranks:
    """One process among all, as `models.shared_batch` asks for it.

    Numbers of the host go over gloo, so that no device waits for them. Their group is not that of the gradients, whose
    messages may come in another order from rank to rank.
    """

    def __init__(self, num: int, own: int) -> None:
        self.num, self.own = num, own
        self.generator: torch.Generator | None = torch.Generator()
        self._group: Any = distributed.new_group(backend="gloo")

    def begin_step(self, seed: int, iteration: int) -> None:
        """Draw what a single process would draw in this step."""
        assert self.generator is not None
        self.generator.manual_seed(step_seed(seed, iteration, rank=0))

    def gather(self, of_images: Sequence[Counts]) -> list[Counts]:
        ours = torch.tensor(of_images)
        of_ranks = [torch.empty_like(ours) for _ in range(self.num)]
        distributed.all_gather(of_ranks, ours, group=self._group)
        return [tuple(counts) for counts in torch.cat(of_ranks).tolist()]

    def sum(self, count: float) -> float:
        total = torch.tensor(float(count), dtype=torch.float64)
        distributed.all_reduce(total, group=self._group)
        return total.item()


class _Sum(torch.autograd.Function):
    """The sum over ranks; its gradient is the sum of the ranks' gradients."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, group: Any) -> Tensor:
        ctx.group = group
        return _summed(x, group)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return _summed(gradients[0], ctx.group), None


def _summed(x: Tensor, group: Any) -> Tensor:
    total = x.clone(memory_format=torch.contiguous_format)
    distributed.all_reduce(total, group=group)
    return total


class SharedBatchNorm(nn.BatchNorm2d):
    """A batch norm whose batch statistics are those of all ranks, with what follows it in a batch norm of timm.

    Not torch.nn.SyncBatchNorm, which refuses the CPU, where this is tested.
    """

    group: Any

    def forward(self, x: Tensor) -> Tensor:
        if self.training or self.running_mean is None:
            x = self._by_all_ranks(x)
        else:
            x = batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        for follower in self.children():
            x = follower(x)
        return x

    def _by_all_ranks(self, x: Tensor) -> Tensor:
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        ones = wide.new_full((1,), wide.numel() / wide.shape[1])
        sums = cast(Tensor, _Sum.apply(torch.cat([wide.sum((0, 2, 3)), ones]), self.group))
        count = sums[-1].detach()
        mean = sums[:-1] / count
        centred = wide - mean[:, None, None]
        variance = cast(Tensor, _Sum.apply(centred.square().sum((0, 2, 3)), self.group)) / count
        self._remember(mean.detach(), (variance * count / (count - 1)).detach())
        scale = (variance + self.eps).rsqrt()
        if self.weight is not None:
            scale = scale * self.weight
        normalised = centred * scale[:, None, None]
        if self.bias is not None:
            normalised = normalised + self.bias[:, None, None]
        return normalised.to(x.dtype)

    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        if not self.training or self.running_mean is None or self.running_var is None:
            return
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        momentum = 1 / self.num_batches_tracked.item() if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean), momentum)
        self.running_var.lerp_(variance.to(self.running_var), momentum)


def share_batch_norms(model: nn.Module) -> None:
    """Let the batch norms of a model, under names and with parameters as before, take the statistics of all ranks."""
    group = distributed.new_group()
    for parent in list(model.modules()):
        for name, norm in parent.named_children():
            if isinstance(norm, nn.BatchNorm2d):
                setattr(parent, name, _shared(norm, group))


def _shared(norm: nn.BatchNorm2d, group: Any) -> SharedBatchNorm:
    shared = SharedBatchNorm(norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats)
    for name, tensor in [*norm.named_parameters(recurse=False), *norm.named_buffers(recurse=False)]:
        setattr(shared, name, tensor)
    for name, follower in norm.named_children():
        shared.add_module(name, follower)
    shared.group = group
    return shared.train(norm.training)
