"""The optimizer's steps: their gradient, the update, and what they can be taken up again from."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils import get_total_norm

from tokensieve.corpus import Float32s
from tokensieve.errors import TokensieveError, shortened
from tokensieve.models import resolved_dtype
from tokensieve.scoring import plan_batches
from tokensieve.settings import TrainingSettings
from tokensieve.training.data import TrainingData
from tokensieve.training.plan import (
    MicroBatch,
    divisors,
    empty_micro_batch,
    learning_rate,
    micro_batch,
    plan_steps,
)
from tokensieve.training.ranks import Ranks, is_sharded, part_of, whole
from tokensieve.training.state import StepRecord, TrainingState
from tokensieve.training.step_selection import StepScorer, StepSelection
from tokensieve.training.trainee import Trainee


class Steps:
    """The steps of a training while it goes on."""

    def __init__(
        self, trainee: Trainee, data: TrainingData, settings: TrainingSettings, ranks: Ranks
    ) -> None:
        """Plan them; raises InputError if there is nothing to train on."""
        self._trainee = trainee
        self._data = data
        self._settings = settings
        self._ranks = ranks
        on_gpu = trainee.device.type == "cuda"
        self._trained = trainee.trained
        self._optimizer = torch.optim.AdamW(
            self._trained.values(), lr=settings.peak_rate, weight_decay=0.0, fused=True
        )
        self._autocast = torch.autocast(
            trainee.device.type,
            torch.bfloat16,
            enabled=resolved_dtype(settings.precision, on_gpu) == "bfloat16",
            cache_enabled=not is_sharded(trainee),  # it would hold all layers at once
        )
        self._steps = plan_steps(data, settings)
        self._selection = self._step_selection()
        self.records: list[StepRecord] = []

    @property
    def are_done(self) -> bool:
        """Return whether no step is left."""
        return len(self.records) == len(self._steps)

    @property
    def decided_T(self) -> Float32s | None:
        """Return the last weight of each token; None unless a method decides at each step."""
        return None if self._selection is None else self._selection.decided_T

    def step(self, wants_state: Callable[[], bool]) -> bool:
        """Do the next step; return whether the state after it is wanted."""
        number = len(self.records)
        rate = learning_rate(number, len(self._steps), self._settings)
        step, num_scored = self._weighted(number)
        num_kept, num_tokens = int(step.num_kept_N.sum()), int(step.needed_N.sum())
        if not num_kept:
            self.records.append(StepRecord(number + 1, None, rate, 0, 0, None, num_scored))
            return False
        loss, norm, wanted = self._agreed(self._backward(step), wants_state)
        self._check_finite(step, loss, norm)
        self._update(rate, norm)
        record = StepRecord(number + 1, loss, rate, num_kept, num_tokens, norm, num_scored)
        self.records.append(record)
        return wanted

    def state(self) -> TrainingState:
        """Return the state after the last step; without tensors in all processes but rank 0."""
        tensors: dict[str, Tensor] = {}
        for name, parameter in self._trained.items():
            tensors[f"weight/{name}"] = parameter
            if moments := self._optimizer.state.get(parameter):
                tensors[f"first/{name}"] = moments["exp_avg"]
                tensors[f"second/{name}"] = moments["exp_avg_sq"]
        if self._selection is not None:
            tensors["decided"] = torch.from_numpy(self._selection.decided_T)
        return TrainingState(self._ranks.gathered(tensors), list(self.records))

    @torch.no_grad()
    def resume(self, state: TrainingState) -> None:
        """Go on after the last step of the state."""
        self.records = list(state.records)
        if self._selection is not None:
            self._selection.decided_T = state.tensors["decided"].numpy().copy()
        moments = {}
        for index, (name, parameter) in enumerate(self._trained.items()):
            parameter.copy_(part_of(state.tensors[f"weight/{name}"], parameter))
            if state.num_updates:
                moments[index] = {
                    "step": torch.tensor(float(state.num_updates)),
                    "exp_avg": part_of(state.tensors[f"first/{name}"], parameter),
                    "exp_avg_sq": part_of(state.tensors[f"second/{name}"], parameter),
                }
        self._optimizer.load_state_dict({**self._optimizer.state_dict(), "state": moments})

    def _step_selection(self) -> StepSelection | None:
        chosen = self._data.step_method
        if chosen is None or not chosen.method.each_step:
            return None
        scorer = StepScorer(
            self._trainee,
            self._autocast,
            self._ranks,
            self._settings.batch_tokens,
            chosen.attention_layer,
        )
        return StepSelection(self._data, chosen, scorer)

    def _weighted(self, number: int) -> tuple[TrainingData, int]:
        """Return the samples of a step with the weights that they have in it, and how many tokens
        were read to choose them.
        """
        samples, num_scored = self._steps[number], 0
        step, chosen = self._data.taken(samples), self._data.step_method
        if self._selection is not None:
            weight_T, num_scored = self._selection.weights(samples)
            step = step.weighted(weight_T)
        if chosen is not None and chosen.method.reweigh is not None:
            step = step.weighted(chosen.method.reweigh(step.weight_T, number / len(self._steps)))
        return step, num_scored

    def _backward(self, step: TrainingData) -> Tensor:
        """Add this process's part of the step's gradient; return its part of the loss, in nats."""
        loss = torch.zeros((), device=self._trainee.device)
        for index, micro in self._passes(step):
            seeds = np.random.SeedSequence([self._settings.seed, len(self.records), index])
            torch.manual_seed(int(seeds.generate_state(1, np.uint64)[0]))
            part, hidden_BLH, gradient_BLH = self._trainee(micro, self._autocast)
            hidden_BLH.backward(gradient_BLH)
            loss += part
        return loss

    def _passes(self, step: TrainingData) -> Iterator[tuple[int, MicroBatch]]:
        """Yield the forward passes of this process, each with its number in the step.

        Samples of like length share one, within the budget of tokens; those without a weight are
        in none.
        """
        batches = plan_batches(step.needed_N, self._settings.batch_tokens)
        shares = divisors(step, batches, self._settings.normaliser)
        mine = self._ranks.deal(list(zip(batches, shares, strict=True)))
        for index, (samples, divisor_B) in mine:
            yield index, micro_batch(step, samples, divisor_B)
        if is_sharded(self._trainee) and len(mine) < self._ranks.most_passes(len(batches)):
            yield len(batches), empty_micro_batch()

    def _agreed(self, loss: Tensor, wants_state: Callable[[], bool]) -> tuple[float, float, bool]:
        """Add up over the processes; return the step's loss, its gradient's norm, and whether the
        state after it is wanted. The only time in a step that the CPU waits for the GPU.
        """
        gradients = self._gradients()
        wanted = self._ranks.rank == 0 and wants_state()
        report = torch.stack([loss, torch.full_like(loss, wanted)])
        self._ranks.add_up([report] if is_sharded(self._trainee) else [*gradients, report])
        norm = whole(get_total_norm(gradients)).item()
        total, num_wanting = report.tolist()
        return total, norm, num_wanting > 0

    def _gradients(self) -> list[Tensor]:
        """Return the gradients; 0 of what no pass of this process has used."""
        for parameter in self._trained.values():
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        return [
            parameter.grad for parameter in self._trained.values() if parameter.grad is not None
        ]

    def _check_finite(self, step: TrainingData, loss: float, norm: float) -> None:
        if np.isfinite([loss, norm]).all():
            return
        names = [step.sample_ids[sample] for sample in np.flatnonzero(step.needed_N)]
        raise TokensieveError(
            f"training: step {len(self.records) + 1}: the loss is {loss}, the norm of its gradient "
            f"{norm}, on the samples {shortened(', '.join(names), 500)}. Nothing was saved. Lower "
            "training.learning_rate, set training.clip_norm, or train in float32."
        )

    @torch.no_grad()
    def _update(self, rate: float, norm: float) -> None:
        limit = self._settings.clip_norm
        if limit is not None and norm > limit:
            for gradient in self._gradients():
                gradient.mul_(limit / norm)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.step()
        self._optimizer.zero_grad()
