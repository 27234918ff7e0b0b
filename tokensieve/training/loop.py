"""A training from its first step, or from where another was left, to its last."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from peft.helpers import disable_input_dtype_casting

from tokensieve.corpus import Float32s
from tokensieve.errors import SettingsError
from tokensieve.scoring import check_fits
from tokensieve.settings import TrainingSettings
from tokensieve.training.data import TrainingData
from tokensieve.training.ranks import ALONE, Ranks
from tokensieve.training.state import StepRecord, TrainingState
from tokensieve.training.steps import Steps
from tokensieve.training.trainee import Trainee, enough_memory


class Observer:
    """Who watches a training. This one does nothing: override what you need."""

    def step_done(self, record: StepRecord) -> None:
        """Hear of every step, in every process."""

    def wants_state(self) -> bool:
        """Return whether the state after the present step is wanted; asked of rank 0 only."""
        return False

    def keep_state(self, state: TrainingState) -> None:
        """Take the state that was wanted; called in rank 0 only."""

    def weights_decided(self, weight_T: Float32s) -> None:
        """Hear at the end, in every process, what each token weighed when it was last decided on,
        if a method does that at each step. NaN: it was no candidate.
        """


@enough_memory()
def train(
    trainee: Trainee,
    data: TrainingData,
    settings: TrainingSettings,
    ranks: Ranks = ALONE,
    state: TrainingState | None = None,
    observer: Observer | None = None,
) -> list[StepRecord]:
    """Train the model in place, from `state` on if given; return the records of all steps.

    The loss of a step is the sum of weight x nll over its tokens, in nats, divided as the
    normaliser says (`plan.divisors`); a step in which nothing is kept is skipped. How many
    processes share the passes changes nothing beyond rounding; nor does how the step is cut into
    passes, but that dropout is drawn for each pass and `kept-in-batch` divides by it. Rounding can
    move tokens that lie next to the threshold of a method that chooses at each step. On a CPU, a
    training that is taken up again ends with the same bits as one that was never interrupted.

    Raises InputError if there is nothing to train on or the samples do not fit the model,
    TokensieveError if a loss or gradient is not finite, ResourceError if the memory is too small.
    """
    check_fits(trainee.model, data)
    steps = Steps(trainee, data, settings, ranks)
    observer = observer or Observer()
    if state is not None:
        steps.resume(state)
    with _in_training(trainee, settings):
        while not steps.are_done:
            wanted = steps.step(observer.wants_state)
            observer.step_done(steps.records[-1])
            if wanted:
                kept = steps.state()
                if ranks.rank == 0:
                    observer.keep_state(kept)
    if steps.decided_T is not None:
        observer.weights_decided(steps.decided_T)
    return steps.records


@contextmanager
def _in_training(trainee: Trainee, settings: TrainingSettings) -> Iterator[None]:
    """Put the model into training mode; leave it and the random numbers as they were."""
    model = trainee.model
    if settings.gradient_checkpointing:
        if not model.supports_gradient_checkpointing:
            raise SettingsError(
                f"training.gradient_checkpointing: {model.name_or_path} cannot do it. Leave it off."
            )
        model.activation_checkpointing_enable({"use_reentrant": False})
    was_training = model.training
    devices = [trainee.device] if trainee.device.type == "cuda" else []
    model.train()
    try:
        with torch.random.fork_rng(devices=devices), disable_input_dtype_casting(model):
            yield
    finally:
        model.train(was_training)
        if settings.gradient_checkpointing:
            model.activation_checkpointing_disable()
