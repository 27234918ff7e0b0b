"""Train a model on weighted tokens.

Shapes: N = samples, T = all their tokens one after another, K = tokens of a batch with a weight.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import PreTrainedModel

from tokensieve.corpus import Float32s, Int64s, Shard
from tokensieve.errors import TokensieveError
from tokensieve.forward import NextTokens, padded
from tokensieve.scoring import plan_batches
from tokensieve.settings import TrainingSettings

Step = list[Int64s]
"""The samples of one optimizer step, as batches."""


def train(
    model: PreTrainedModel, shard: Shard, weight_T: Float32s, settings: TrainingSettings
) -> list[float]:
    """Train the model in place; return the loss of each optimizer step in nats.

    The loss of a step is the sum of weight x nll over its tokens, divided by the sum of |weight|,
    so that a token counts the same however the step falls into batches. Samples without a weight
    are left out. Raises TokensieveError if a loss is not finite.
    """
    assert not weight_T[~shard.scorable_T].any(), "only response tokens can be trained on"
    num_weights_T1 = np.concatenate([[0], np.cumsum(weight_T != 0)])
    trained = np.flatnonzero(np.diff(num_weights_T1[shard.offsets_N1]))
    steps = list(plan_steps(shard.lengths_N, trained, settings))
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.peak_rate, weight_decay=0.0)
    num_warmup = round(settings.warmup * len(steps))
    rate = partial(learning_rate, num_steps=len(steps), num_warmup=num_warmup)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    losses = []
    with _training(model, settings.seed):
        for step in steps:
            losses.append(step_loss(model, shard, weight_T, step))
            _check_finite(losses)
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
    return losses


@contextmanager
def _training(model: PreTrainedModel, seed: int) -> Iterator[None]:
    """Put the model into training mode, with dropout drawn from the seed."""
    was_training = model.training
    devices = [model.device] if model.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        model.train()
        try:
            yield
        finally:
            model.train(was_training)


def plan_steps(lengths_N: Int64s, trained: Int64s, settings: TrainingSettings) -> Iterator[Step]:
    """Yield the steps of all epochs. Each epoch has its own order, drawn from the seed.

    In a step, samples of like length share a batch, within the budget of tokens.
    """
    for epoch in range(settings.epochs):
        order = np.random.default_rng([settings.seed, epoch]).permutation(trained)
        for start in range(0, len(order), settings.step_samples):
            samples = order[start : start + settings.step_samples]
            yield [samples[b] for b in plan_batches(lengths_N[samples], settings.batch_tokens)]


def step_loss(model: PreTrainedModel, shard: Shard, weight_T: Float32s, step: Step) -> float:
    """Add the gradient of the step's loss to the parameters; return the loss in nats."""
    bounds = shard.offsets_N1
    batches = [[slice(int(bounds[n]), int(bounds[n + 1])) for n in batch] for batch in step]
    total_weight = sum(float(np.abs(weight_T[s]).sum()) for batch in batches for s in batch)
    loss = 0.0
    for batch in batches:
        share = weighted_nll(model, shard, weight_T, batch) / total_weight
        share.backward()
        loss += share.item()
    return loss


def weighted_nll(
    model: PreTrainedModel, shard: Shard, weight_T: Float32s, samples: list[slice]
) -> Tensor:
    """Return the sum of weight x nll over the samples, in nats, as a scalar with a gradient."""
    batch = padded([shard.input_ids_T[each] for each in samples])
    positions = [np.flatnonzero(weight_T[each]) for each in samples]
    row_K = np.concatenate([batch.rows_before(index, each) for index, each in enumerate(positions)])
    place_K = np.concatenate([s.start + p for s, p in zip(samples, positions, strict=True)])
    answer = NextTokens(model, batch)
    logits_KV = answer.logits(torch.from_numpy(row_K).to(answer.device)).float()
    target_K = torch.from_numpy(shard.input_ids_T[place_K]).to(answer.device, torch.int64)
    weight_K = torch.from_numpy(weight_T[place_K]).to(answer.device)
    nll_K = F.cross_entropy(logits_KV, target_K, reduction="none")
    return (nll_K * weight_K).sum()


def learning_rate(step: int, num_steps: int, num_warmup: int) -> float:
    """Return the share of the highest learning rate: up to 1 in the warm-up, then down to 0.

    Both ways are straight lines; the first step is above 0, and so is the last.
    """
    rising = (step + 1) / max(1, num_warmup)
    falling = (num_steps - step) / max(1, num_steps - num_warmup)
    return min(1.0, rising, falling)


def _check_finite(losses: list[float]) -> None:
    if not np.isfinite(losses[-1]):
        raise TokensieveError(
            f"training: step {len(losses)}: the loss is {losses[-1]}. "
            "Lower training.learning_rate, or train in float32."
        )
