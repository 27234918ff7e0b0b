"""A model in training, and the adapter on it."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from peft import LoraConfig, inject_adapter_in_model
from torch import Tensor
from transformers import PreTrainedModel

from tokensieve.corpus import Int64s
from tokensieve.errors import ResourceError, shortened
from tokensieve.forward import NextTokens
from tokensieve.models import load_model, resolved_dtype
from tokensieve.scoring import ShardScoring
from tokensieve.settings import TrainingSettings
from tokensieve.training.head import loss_and_gradient
from tokensieve.training.plan import MicroBatch


class Trainee(torch.nn.Module):
    """A model whose parameters that require a gradient are trained. One call: one forward pass."""

    def __init__(self, model: PreTrainedModel) -> None:
        """Take the model as it is, on its device."""
        super().__init__()
        self.model = model

    @property
    def device(self) -> torch.device:
        """Return where the model computes."""
        device: torch.device = self.model.device
        return device

    @property
    def trained(self) -> dict[str, torch.nn.Parameter]:
        """Return the parameters to train, by their names in the model."""
        return {name: each for name, each in self.model.named_parameters() if each.requires_grad}

    def forward(self, micro: MicroBatch, autocast: torch.autocast) -> tuple[Tensor, Tensor, Tensor]:
        """Return the loss in nats, the body's answer hidden_BLH, and the loss's gradient for it.

        The gradient for the head's parameters is added to them here; the rest follows from
        `hidden_BLH.backward(gradient_BLH)`, which is left to the caller, because a model that is
        sharded over processes has to leave this call before its layers can be sent a gradient.
        """
        vocab_size = int(self.model.config.get_text_config().vocab_size)
        with autocast:
            answer = NextTokens(self.model, micro.batch)
            loss, gradient_BLH = loss_and_gradient(answer, micro, vocab_size)
        return loss, answer.hidden_BLH, gradient_BLH

    def score(self, scoring: ShardScoring, samples: Int64s, autocast: torch.autocast) -> None:
        """Score the samples with the model as it is: one forward pass that nothing is learned from.

        The caller turns gradients off.
        """
        with autocast:
            scoring.score_batch(samples)


@contextmanager
def enough_memory() -> Iterator[None]:
    """Raise ResourceError that says what to lower if the GPU runs out of memory in the block."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise ResourceError(
            f"training: the memory of a GPU is too small: {shortened(str(error), 200)} Lower "
            "training.batch_tokens, set training.gradient_checkpointing, take training.tuning = "
            "lora, or share the model over several GPUs: cluster.ranks above 1 and cluster.fsdp."
        ) from None


@enough_memory()
def load_trainee(path: str, settings: TrainingSettings, num_gpus: float) -> Trainee:
    """Return the model in `path` ready to train: on the CPU, or on this process's current GPU.

    It is on one GPU however many the process has: only scoring spreads layers. What is trained is
    in float32. Under an adapter the model itself stands still, in the precision of the
    multiplications. Raises InputError and ResourceError as `load_model` does.
    """
    num_gpus = min(num_gpus, 1)
    if settings.tuning == "full":
        return Trainee(load_model(path, "float32", num_gpus).requires_grad_())
    dtype = resolved_dtype(settings.precision, on_gpu=num_gpus > 0)
    return Trainee(add_adapter(load_model(path, dtype, num_gpus), settings))


def add_adapter(model: PreTrainedModel, settings: TrainingSettings) -> PreTrainedModel:
    """Return the model with a fresh adapter on it, in float32; nothing else requires a gradient.

    Its first weights are drawn from the seed, and it changes nothing before it is trained.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        model = inject_adapter_in_model(lora_config(settings), model)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    return model


def lora_config(settings: TrainingSettings) -> LoraConfig:
    """Return peft's form of the settings: every linear layer of the body, none of the head."""
    lora = settings.lora
    return LoraConfig(
        task_type="CAUSAL_LM",
        target_modules="all-linear",
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
    )
