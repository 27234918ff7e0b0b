"""What a model is by its content, wherever it lies: its numbers, and how it is spoken to."""

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tokensieve.documents import canonical_json
from tokensieve.models.directory import WEIGHTS_INDEX
from tokensieve.storage import file_sha256, sha256_hex

_COMPANIONS = {".json", ".model", ".txt", ".jinja"}
_NO_COMPANIONS = {"config.json", WEIGHTS_INDEX, "MANIFEST.json"}
_TEMPLATES = "additional_chat_templates"


def model_fingerprint(path: str) -> str:
    """Return the SHA-256 (64 hex digits) of what decides a model's numbers, never of its path.

    That is the bytes of config.json, of the weights and of their index. Files are hashed in
    threads, so it takes about as long as reading them.
    """
    names = (file.name for file in Path(path).glob("*") if _is_decisive(file.name))
    return fingerprint_of_files(_hashes(Path(path), names))


def fingerprint_of_files(hashes: Mapping[str, str]) -> str:
    """Return the `model_fingerprint` of a directory whose files have these SHA-256, by name."""
    return sha256_hex(canonical_json({n: h for n, h in hashes.items() if _is_decisive(n)}))


def companions_fingerprint(path: str) -> str:
    """Return the SHA-256 (64 hex digits) of the names and bytes of a model's companions."""
    return companions_of_files(_hashes(Path(path), companions(path)))


def companions_of_files(hashes: Mapping[str, str]) -> str:
    """Return the `companions_fingerprint` of a directory whose files have these SHA-256, by name
    below it.
    """
    return sha256_hex(canonical_json({n: h for n, h in hashes.items() if _is_companion(n)}))


def companions(path: str) -> list[str]:
    """Return the names, below `path`, of the files that go with a model's weights in a training.

    They say how it is spoken to and how it answers: tokenizer, chat templates, generation settings.
    Its scores do not depend on them.
    """
    files = (file for file in Path(path).rglob("*") if file.is_file())
    names = (file.relative_to(path).as_posix() for file in files)
    return sorted(filter(_is_companion, names))


def _is_companion(name: str) -> bool:
    if "/" in name:
        return name.startswith(f"{_TEMPLATES}/")
    return Path(name).suffix in _COMPANIONS and name not in _NO_COMPANIONS


def _is_decisive(name: str) -> bool:
    is_weights = name.endswith(".safetensors") and "/" not in name
    return is_weights or name in ("config.json", WEIGHTS_INDEX)


def _hashes(root: Path, names: Iterable[str]) -> dict[str, str]:
    """Return the SHA-256 of each file by its name."""
    sure = list(names)
    with ThreadPoolExecutor(max_workers=8) as threads:
        found = threads.map(file_sha256, (root / name for name in sure))
        return dict(zip(sure, found, strict=True))
