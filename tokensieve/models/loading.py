"""Loading a model: only from this disk, only whole, only if its numbers can be trusted."""

from typing import Any

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from tokensieve.errors import InputError, ResourceError, shortened
from tokensieve.forward import check_forward
from tokensieve.models.directory import check_model_directory
from tokensieve.models.tokenizer import load_tokenizer

_BFLOAT16_GPU = (8, 0)  # Ampere: the first CUDA devices that multiply bfloat16 matrices natively


def resolved_dtype(setting: str, on_gpu: bool) -> str:
    """Return `float32` or `bfloat16`: the setting, or for `auto` what the device is good at.

    A GPU that this process cannot see (it plans, others score) is taken to be of this decade.
    """
    if setting != "auto":
        return setting
    if on_gpu:
        old = torch.cuda.is_available() and torch.cuda.get_device_capability() < _BFLOAT16_GPU
        return "float32" if old else "bfloat16"
    abilities = torch.cpu.get_capabilities()
    native = abilities.get("avx512_bf16") or abilities.get("amx_bf16")
    return "bfloat16" if native else "float32"


def load_model(path: str, dtype: str, num_gpus: float) -> PreTrainedModel:
    """Return the model in `path` ready to score: on its device, in eval mode, without gradients.

    0 GPUs: on the CPU; up to 1: on the GPU that is this process's current one; more: layers over
    all it sees. Raises InputError if the directory is unsafe, if a weight is missing, left over, of
    another shape or not finite, if the tokenizer has ids without a row, or if a trial batch does
    not give the model's own losses; ResourceError if there is no GPU, or none that it fits into.
    """
    check_model_directory(path)
    if num_gpus > 0 and not torch.cuda.is_available():
        raise ResourceError(
            f"{path}: is to be loaded on a GPU, but this process sees none. "
            "Set cluster.gpus_per_worker to 0 to use the CPU."
        )
    try:
        model = _whole_model(path, dtype, num_gpus).eval().requires_grad_(False)
        _check_rows(path, model)
        _check_finite(path, model)
        check_forward(model)
    except torch.OutOfMemoryError as error:
        raise ResourceError(
            f"{path}: does not fit into the memory it is loaded into: {shortened(str(error), 200)} "
            "To score with it, set cluster.gpus_per_worker above 1; to train it, set cluster.ranks "
            "above 1 and cluster.fsdp."
        ) from None
    return model


def _whole_model(path: str, dtype: str, num_gpus: float) -> PreTrainedModel:
    """Return the model exactly as the files have it, or raise InputError."""
    try:
        model, info = AutoModelForCausalLM.from_pretrained(
            path,
            dtype=getattr(torch, dtype),
            device_map=_device_map(num_gpus),
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            ignore_mismatched_sizes=True,  # so that they are listed; they are refused below
            output_loading_info=True,
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path}/config.json: no model can be built from it: {shortened(str(error), 300)}"
        ) from error
    problems = {name: sorted(map(str, keys)) for name, keys in info.items() if keys}
    if problems:
        listed = "; ".join(f"{name}: {shortened(keys, 300)}" for name, keys in problems.items())
        raise InputError(
            f"{path}: its weights are not those of its config.json: {listed}. transformers would "
            "go on with random numbers; save the whole model again."
        )
    return model


def _device_map(num_gpus: float) -> Any:
    """Return transformers' form of where the layers go.

    One of several processes that see the same GPUs is told its own by `torch.cuda.set_device`.
    """
    if num_gpus == 0:
        return None
    return {"": torch.cuda.current_device()} if num_gpus <= 1 else "auto"


def _check_rows(path: str, model: PreTrainedModel) -> None:
    """Refuse a tokenizer that makes ids for which the model has no embedding."""
    num_rows = model.get_input_embeddings().weight.shape[0]
    token, id = max(load_tokenizer(path).get_vocab().items(), key=lambda item: item[1])
    if id >= num_rows:
        raise InputError(
            f"{path}/tokenizer.json: token {shortened(token)} has id {id}, but the model has "
            f"embeddings for {num_rows} tokens only. Save model and tokenizer together."
        )


def _check_finite(path: str, model: PreTrainedModel) -> None:
    """Refuse NaN and infinity in the weights."""
    for name, weight in model.named_parameters():
        if weight.numel() and not all(torch.stack(torch.aminmax(weight)).isfinite().tolist()):
            raise InputError(
                f"{path}: the weight {name} holds NaN or infinity. "
                "The model is damaged; take an earlier checkpoint."
            )
