"""Several processes that train one model together.

Each holds all the data and knows the whole plan. The forward passes of a step are dealt out; the
gradients are added up once in a step, by `Ranks.add_up`, or by the model itself as they are made,
if it is sharded. Either way the sum is that of one process doing all the passes.

The caller starts the processes and torch.distributed (gloo on the CPU, nccl on GPUs).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, distribute_tensor

from tokensieve.training.trainee import Trainee, enough_memory

_BUCKET_BYTES = 64 << 20
T = TypeVar("T")


@dataclass(frozen=True)
class Ranks:
    """The processes, and which of them this one is."""

    rank: int
    num_ranks: int

    def deal(self, passes: Sequence[T]) -> list[tuple[int, T]]:
        """Return the passes that fall to this process, each with its number among all."""
        return list(enumerate(passes))[self.rank :: self.num_ranks]

    def most_passes(self, num_passes: int) -> int:
        """Return how many passes the process has that has the most."""
        return -(-num_passes // self.num_ranks)

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its sum over the processes, many small ones in one message."""
        if self.num_ranks == 1:
            return
        for bucket in _buckets(tensors):
            flat = torch.cat([each.flatten() for each in bucket])
            dist.all_reduce(flat)
            sums = flat.split([each.numel() for each in bucket])
            for each, added in zip(bucket, sums, strict=True):
                each.copy_(added.view_as(each))

    def gathered(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return copies of the whole tensors on the CPU in rank 0, and nothing in the others.

        If they are sharded, every process has to call this.
        """
        found = {}
        for name, tensor in tensors.items():
            full = whole(tensor)
            if self.rank == 0:
                found[name] = full.detach().to("cpu", copy=True).contiguous()
        return found

    def everybodys(self, value: T) -> list[T]:
        """Return the small value that each process gave, in their order; all have to call it."""
        if self.num_ranks == 1:
            return [value]
        values: list[T | None] = [None] * self.num_ranks
        dist.all_gather_object(values, value)
        return cast("list[T]", values)


ALONE = Ranks(0, 1)


def _buckets(tensors: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Yield the tensors in lists of at most `_BUCKET_BYTES`, or of a single larger one."""
    bucket: list[Tensor] = []
    for each in tensors:
        if bucket and sum(t.nbytes for t in bucket) + each.nbytes > _BUCKET_BYTES:
            yield bucket
            bucket = []
        bucket.append(each)
    if bucket:
        yield bucket


@enough_memory()
def shard_over_ranks(trainee: Trainee) -> None:
    """Give every process its part of each weight, gradient and optimizer state (FSDP2).

    Every process calls this with the same model, before `train`. With the nccl backend it goes from
    wherever it is to the GPUs, layer by layer, so none has to hold it whole. A layer's weights are
    gathered when it computes, and its gradients are added up and dealt out after every pass: until
    the end of a step they would take as much memory as a model that is not sharded. So every
    process has to do the same number of passes, and `train` sees to that. Weights travel in
    float32.
    """
    device = "cuda" if dist.get_backend() == "nccl" else "cpu"
    mesh = init_device_mesh(device, (dist.get_world_size(),))
    layers = set(trainee.model._no_split_modules or ())
    for module in trainee.model.modules():
        if type(module).__name__ in layers:
            fully_shard(module, mesh=mesh)
    fully_shard(trainee, mesh=mesh)
    register_fsdp_forward_method(trainee, "score")
    for module in trainee.modules():
        if isinstance(module, FSDPModule):
            module.set_gradient_divide_factor(1.0)  # a sum, not a mean,
            module.set_force_sum_reduction_for_comms(True)  # and not by way of a scaled one


def is_sharded(trainee: Trainee) -> bool:
    """Return whether every process holds only its part of the weights."""
    return isinstance(trainee, FSDPModule)


def forget_gathered(trainee: Trainee) -> None:
    """Let go of the weights that a sharded model has gathered without a backward pass after it:
    an update would leave them out of date.
    """
    if isinstance(trainee, FSDPModule):
        trainee.reshard()


def whole(tensor: Tensor) -> Tensor:
    """Return all of the tensor; if it is sharded, every process has to ask for it."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def part_of(tensor: Tensor, like: Tensor) -> Tensor:
    """Return a copy of what this process holds of a whole tensor, if it is sharded like `like`."""
    tensor = tensor.to(like.device, copy=True)
    if not isinstance(like, DTensor):
        return tensor
    return distribute_tensor(tensor, like.device_mesh, like.placements, src_data_rank=None)
