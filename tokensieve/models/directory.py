"""Model directories: what may lie in one.

Everything here reads names, sizes, JSON and safetensors headers. Nothing is imported, unpickled or
handed to transformers, so a hostile directory is refused before any code could run.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from tokensieve.errors import InputError, shortened

_ALLOWED = {
    *(".json", ".safetensors", ".model", ".txt", ".jinja"),  # what a model is made of
    *("", ".md", ".yaml", ".yml", ".pdf", ".png", ".jpg", ".jpeg", ".svg"),  # papers beside it
    *(".gitattributes", ".gitignore", ".metadata", ".lock", ".tag"),  # what a download leaves
}
_PICKLES = {".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".h5", ".msgpack", ".npz"}
WEIGHTS_INDEX = "model.safetensors.index.json"
_CONTEXT_KEYS = ("max_position_embeddings", "n_positions")
_ANY_CONTEXT = 2**31
_LFS_POINTER = b"version https://git-lfs"


def check_model_directory(path: str) -> None:
    """Return if `path` is a causal language model that is safe to load; else raise InputError.

    Allowed are regular files of known kinds inside the directory. Refused are pickles, code,
    settings that name code, cut or missing weights, adapters and quantised models.
    """
    root = Path(path)
    if not root.is_dir():
        raise InputError(
            f"{path}: is not a directory. A model is given as a directory; "
            f"download one with `hf download NAME --local-dir DIRECTORY`."
        )
    files = list(_files(root))
    for file in files:
        _check_place(root, file)
        check_kind(str(file))
    _check_config(root)
    for file in files:
        if file.suffix.lower() == ".json":
            _check_json(file)
        elif file.suffix.lower() == ".safetensors":
            _check_safetensors(file)
    _check_weights(root)


def read_config(path: str) -> dict[str, Any]:
    """Return the model's config.json; raise InputError if it is missing or not an object."""
    file = Path(path) / "config.json"
    if not file.is_file():
        raise InputError(f"{file}: is missing. Give the directory that save_pretrained wrote.")
    config = _read_json(file)
    if not isinstance(config, dict):
        raise InputError(f"{file}: is not a JSON object (it begins {shortened(config)}).")
    return config


def model_context(path: str) -> int:
    """Return how many tokens the model was made to read; very many if it does not say."""
    config = read_config(path)
    text = config.get("text_config")
    places = [config, text] if isinstance(text, dict) else [config]
    said = [place.get(key) for place in places for key in _CONTEXT_KEYS]
    return min((context for context in said if isinstance(context, int)), default=_ANY_CONTEXT)


def _files(root: Path) -> Iterator[Path]:
    """Yield everything below `root` that is not a plain directory, without following links."""
    for directory, folders, names in os.walk(root, followlinks=False):
        here = Path(directory)
        folders.sort()
        yield from (here / folder for folder in folders if (here / folder).is_symlink())
        yield from (here / name for name in sorted(names))


def _check_place(root: Path, file: Path) -> None:
    """Refuse links that leave the directory, and what is not a file at all."""
    if not file.resolve().is_relative_to(root.resolve()):
        raise InputError(
            f"{file}: is a link that leaves the model directory. "
            "Copy the model with its links resolved (`cp -rL`) and give the copy."
        )
    if not file.is_file():
        raise InputError(f"{file}: is not a regular file. Delete it, or mend the link.")


def check_kind(file: str) -> None:
    """Raise InputError for a file that no model needs, by its name, without opening it."""
    suffix = Path(f"x{Path(file).name}").suffix.lower()  # x: the suffix of .gitignore is .gitignore
    if suffix in _PICKLES:
        raise InputError(
            f"{file}: may hold a pickle, which runs code when it is read. If it holds the weights, "
            "convert them to safetensors (save_pretrained does); then delete it."
        )
    if suffix == ".py":
        raise InputError(
            f"{file}: is code. Models that bring their own code are not run; if transformers "
            "knows this kind of model, delete the file and `auto_map` in config.json."
        )
    if suffix not in _ALLOWED:
        raise InputError(f"{file}: is not a kind of file that a model needs. Delete it.")


def _check_config(root: Path) -> None:
    config = read_config(str(root))
    where = root / "config.json"
    if (root / "adapter_config.json").exists():
        raise InputError(
            f"{root}/adapter_config.json: this is an adapter, not a whole model. Merge it into its "
            "base first (peft: merge_and_unload, then save_pretrained)."
        )
    if config.get("model_type") not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        raise InputError(
            f"{where}:model_type: {shortened(config.get('model_type'))} is not a causal language "
            "model that the installed transformers knows."
        )
    if "quantization_config" in config:
        raise InputError(
            f"{where}:quantization_config: the model is quantised. Its losses would not be the "
            "model's own; give the one it was made from."
        )


def _check_json(file: Path) -> None:
    """Refuse JSON that cannot be read, or that names code to run."""
    document = _read_json(file)
    if file.name == "vocab.json":
        return  # its keys are tokens
    for key in _keys(document):
        if key in {"auto_map", "trust_remote_code"} or key.startswith("_attn_implementation"):
            raise InputError(
                f"{file}:{key}: can make transformers run code that is not its own. "
                "Delete this key if the model works without it."
            )


def _read_json(file: Path) -> Any:
    data = file.read_bytes()
    if data.startswith(_LFS_POINTER):
        raise InputError(f"{file}: is a Git LFS pointer, not the file. Run `git lfs pull`.")
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file}: is not JSON: {error}. Fetch the file again.") from None


def _keys(document: Any) -> Iterator[str]:
    """Yield every key at any depth, but not the tokens of a vocabulary."""
    pending = [document]
    while pending:
        value = pending.pop()
        if isinstance(value, list):
            pending += value
        elif isinstance(value, dict):
            yield from value
            pending += [part for key, part in value.items() if key != "vocab"]


def _check_safetensors(file: Path) -> None:
    """Refuse weights whose header and size do not agree."""
    with file.open("rb") as stream:
        start = stream.read(len(_LFS_POINTER))
    if start == _LFS_POINTER:
        raise InputError(f"{file}: is a Git LFS pointer, not the weights. Run `git lfs pull`.")
    try:
        with safe_open(file, framework="pt"):
            pass
    except SafetensorError as error:
        announced = int.from_bytes(start[:8], "little")
        raise InputError(
            f"{file}: is not a whole safetensors file: {error} (it has {file.stat().st_size} "
            f"bytes; its first 8 announce a header of {announced}). Fetch the file again."
        ) from None


def _check_weights(root: Path) -> None:
    """Refuse a directory without weights, and an index that lists a file that is not there."""
    if not (root / WEIGHTS_INDEX).exists():
        if not (root / "model.safetensors").exists():
            raise InputError(
                f"{root}: has no model.safetensors. Give a directory that save_pretrained wrote."
            )
        return
    index = _read_json(root / WEIGHTS_INDEX)
    weight_map = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(weight_map, dict):
        raise InputError(f"{root / WEIGHTS_INDEX}:weight_map: is missing. Fetch the file again.")
    present = {file.name for file in root.glob("*.safetensors")}
    for name in sorted({str(name) for name in weight_map.values()} - present):
        raise InputError(
            f"{root / name}: is missing, but {WEIGHTS_INDEX} lists it. Fetch it again."
        )
