"""A trained model as a directory that is a model like any other."""

import shutil
from pathlib import Path

import torch
from peft import get_peft_model, get_peft_model_state_dict
from safetensors.torch import save_file
from torch import Tensor
from transformers import PreTrainedModel

from tokensieve.errors import TokensieveError
from tokensieve.models import check_model_directory, companions, load_model
from tokensieve.settings import TrainingSettings
from tokensieve.training.disk import room_for
from tokensieve.training.ranks import ALONE, Ranks
from tokensieve.training.trainee import Trainee, enough_memory, lora_config


@enough_memory()
def save_trained(
    trainee: Trainee,
    init_path: str,
    directory: Path,
    settings: TrainingSettings,
    ranks: Ranks = ALONE,
) -> None:
    """Write `directory`/model, and for LoRA `directory`/adapter; every process calls it.

    `model` is whole: weights in float32 (safetensors) and the tokenizer files of `init_path`, the
    model that training started from. An adapter is added to those weights as the files have them,
    not to what stood in memory: rounded again in each round, small updates would be lost.
    Raises TokensieveError if a weight is not finite, ResourceError if the disk or the memory of a
    GPU is too small.
    """
    weights = ranks.gathered(trainee.trained)
    if ranks.rank != 0:
        return
    for name, weight in weights.items():
        if not weight.isfinite().all():
            raise TokensieveError(
                f"training: the weight {name} is not finite after the last step. Nothing was "
                "saved. Lower training.learning_rate, or set training.clip_norm."
            )
    model = load_model(init_path, "float32", num_gpus=0)
    if settings.tuning == "lora":
        model = _merged(model, weights, directory / "adapter", settings)
    else:
        _put(model, weights)
    _write(model, Path(init_path), directory / "model")


def _merged(
    model: PreTrainedModel, weights: dict[str, Tensor], adapter: Path, settings: TrainingSettings
) -> PreTrainedModel:
    """Return the model with the adapter added to its weights; write the adapter by itself."""
    config = lora_config(settings)
    adapted = get_peft_model(model, config)
    _put(adapted.get_base_model(), weights)
    config.base_model_name_or_path = None  # a path of this machine
    config.inference_mode = True
    config.target_modules = sorted(config.target_modules or ())  # a set has another order each time
    with room_for(adapter):
        config.save_pretrained(str(adapter))
        save_file(get_peft_model_state_dict(adapted), adapter / "adapter_model.safetensors")
    return adapted.merge_and_unload()


def _put(model: torch.nn.Module, weights: dict[str, Tensor]) -> None:
    unknown = model.load_state_dict(weights, strict=False).unexpected_keys
    assert not unknown, f"the model has no weights {unknown}"


def _write(model: PreTrainedModel, init: Path, directory: Path) -> None:
    """Write the model, with all files of `init` that go with its weights."""
    with room_for(directory):
        model.save_pretrained(directory)
        for name in companions(str(init)):
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(init / name, directory / name)
    check_model_directory(str(directory))
