"""The input embeddings of a model, read without the rest of it."""

import json
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from transformers import AutoConfig, AutoModelForCausalLM

from tokensieve.corpus import Float32s
from tokensieve.errors import InputError
from tokensieve.models.directory import WEIGHTS_INDEX, check_model_directory


def input_embeddings(path: str) -> Float32s:
    """Return the input embeddings of the model in `path`, [vocabulary, hidden]: a row per token id.

    Raises InputError if the directory cannot be used.
    """
    check_model_directory(path)
    config = AutoConfig.from_pretrained(path, local_files_only=True, trust_remote_code=False)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    wanted = model.get_input_embeddings().weight
    names = [
        name for name, each in model.named_parameters(remove_duplicate=False) if each is wanted
    ]
    stored = _files(Path(path))
    found = next((name for name in names if name in stored), None)
    if found is None:
        raise InputError(
            f"{path}: holds none of the weights {', '.join(names)}, by which a model of its kind "
            "calls its input embeddings. Save it with save_pretrained."
        )
    with safe_open(Path(path) / stored[found], framework="pt") as file:
        tensor: torch.Tensor = file.get_tensor(found)
    return tensor.float().numpy().astype(np.float32, copy=False)


def _files(path: Path) -> dict[str, str]:
    """Return the file of each weight by its name."""
    index = path / WEIGHTS_INDEX
    if index.is_file():
        weights: dict[str, str] = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        return weights
    [single] = path.glob("*.safetensors")
    with safe_open(single, framework="pt") as file:
        return dict.fromkeys(file.keys(), single.name)
