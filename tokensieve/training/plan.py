"""What a step is made of: its samples, its forward passes, the share of each token in its loss.

All of it is a function of the data and the settings, so that every process knows the whole plan
and nothing of it has to be sent.

Shapes: B = samples of a forward pass, K = tokens of a forward pass with a weight.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tokensieve.corpus import Float32s, Float64s, Int64s
from tokensieve.errors import InputError
from tokensieve.forward import Batch, padded
from tokensieve.settings import Normaliser, TrainingSettings
from tokensieve.training.data import TrainingData


def plan_steps(data: TrainingData, settings: TrainingSettings) -> list[Int64s]:
    """Return the samples of each step of all epochs. Each epoch has its own order, drawn from the
    seed.

    Samples without a weight have no place in a step unless the data keeps them: then all samples
    of a step may be without one. Raises InputError if there is nothing to train on.
    """
    placed = np.arange(data.num_samples) if data.keep_empty else np.flatnonzero(data.needed_N)
    if not data.num_kept_N.any():
        raise InputError(
            f"training: none of the {data.num_samples} samples has a token to train on. Choose "
            "another selection: raise selection.keep, or look at why nothing was kept."
        )
    steps = []
    for epoch in range(settings.epochs):
        order = np.random.default_rng([settings.seed, epoch]).permutation(placed)
        starts = range(0, len(order), settings.step_samples)
        steps += [order[start : start + settings.step_samples] for start in starts]
    return steps


def learning_rate(step: int, num_steps: int, settings: TrainingSettings) -> float:
    """Return the learning rate of a step, counted from 0: up to its peak, then down to 0.

    It rises in a straight line and falls in one, or along half a cosine. The first step is above
    0, and so is the last.
    """
    num_warmup = round(settings.warmup * num_steps)
    if step < num_warmup:
        return settings.peak_rate * (step + 1) / num_warmup
    done = (step - num_warmup) / (num_steps - num_warmup)
    falling = 1 - done if settings.schedule == "linear" else (1 + math.cos(math.pi * done)) / 2
    return settings.peak_rate * falling


def divisors(
    step: TrainingData, batches: Sequence[Int64s], normaliser: Normaliser
) -> list[Float64s]:
    """Return, as one array over B for each batch, what divides the weights of each sample's tokens.

    With k = the number of tokens with a weight above 0, however large:

    kept-in-step   k of the step. Every kept token counts by its weight alone.
    kept-in-batch  k of the forward pass x passes of the step: the mean of the passes' means, as in
                   Token Cleaning's released code. A token counts more in a pass that keeps little.
    all-tokens     response tokens of the step's samples, kept or not: TOSS (arXiv 2603.01185).
    sample-share   k of the sample x samples of the step: the mean of the samples' means, ssToken
                   (arXiv 2510.18250) eq. 11. Its L_resp * rho is k but for rounding, since k is
                   the ceiling of it; with k a sample's shares add up to 1 exactly. Samples that no
                   pass reads are not counted.

    So with soft weights the loss is the mean of weight x nll, and with signed ones the mean over
    the kept tokens plus what the others add. A pass or sample with weights below 0 only has those
    as its k.
    """
    if normaliser == "kept-in-step":
        return [np.full(len(batch), float(step.num_kept_N.sum())) for batch in batches]
    if normaliser == "all-tokens":
        return [np.full(len(batch), float(step.num_response_N.sum())) for batch in batches]
    kept = [step.num_kept_N[batch].astype(np.float64) for batch in batches]
    unlearned = [step.num_unlearned_N[batch] for batch in batches]
    if normaliser == "kept-in-batch":
        k = [kept_B.sum() or below_B.sum() for kept_B, below_B in zip(kept, unlearned, strict=True)]
        return [np.full(len(batch), len(batches) * n) for batch, n in zip(batches, k, strict=True)]
    num_samples = sum(map(len, batches))
    return [
        num_samples * np.where(kept_B > 0, kept_B, below_B)
        for kept_B, below_B in zip(kept, unlearned, strict=True)
    ]


@dataclass(frozen=True)
class MicroBatch:
    """What one forward pass reads, and which of its predictions are trained."""

    batch: Batch
    row_K: Int64s
    """Rows of the flattened batch that predict a token with a weight."""
    target_K: Int64s
    """Ids of those tokens."""
    share_K: Float32s
    """What each of their nlls is multiplied by in the loss of the step: weight / divisor."""


def micro_batch(data: TrainingData, samples: Int64s, divisor_B: Float64s) -> MicroBatch:
    """Return the samples, each up to its last token with a weight, as one forward pass."""
    starts = data.offsets_N1[samples].tolist()
    ends = (data.offsets_N1[samples] + data.needed_N[samples]).tolist()
    spans = list(zip(starts, ends, strict=True))
    batch = padded([data.input_ids_T[start:end] for start, end in spans])
    positions = [np.flatnonzero(data.weight_T[start : end + 1]) for start, end in spans]
    token_K = np.concatenate([s + p for s, p in zip(starts, positions, strict=True)])
    divisor_K = np.repeat(divisor_B, [len(each) for each in positions])
    return MicroBatch(
        batch=batch,
        row_K=np.concatenate([batch.rows_before(i, each) for i, each in enumerate(positions)]),
        target_K=data.input_ids_T[token_K].astype(np.int64),
        share_K=(data.weight_T[token_K] / divisor_K).astype(np.float32),
    )


def empty_micro_batch() -> MicroBatch:
    """Return a forward pass that adds nothing, for a process that has none when others have."""
    zero = np.zeros(1, dtype=np.int64)
    return MicroBatch(padded([zero.astype(np.int32)]), zero, zero, zero.astype(np.float32))
