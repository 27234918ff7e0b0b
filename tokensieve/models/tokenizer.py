"""Tokenizers of model directories: loaded, named by their content, compared."""

import json
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, PreTrainedTokenizerFast

from tokensieve.documents import canonical_json
from tokensieve.errors import InputError, shortened
from tokensieve.models.directory import check_model_directory
from tokensieve.storage import sha256_hex

_OF_A_BAD_FILE = (AttributeError, LookupError, OSError, TypeError, ValueError)
"""What transformers raises, unchecked, where a tokenizer's JSON is not of the form it expects."""


def load_tokenizer(path: str) -> PreTrainedTokenizerFast:
    """Return the tokenizer of the model in `path`, read from this disk only.

    A missing padding or EOS token is left missing: scoring pads where no token can see it, and a
    template says which token ends an answer. Raises InputError.
    """
    check_model_directory(path)
    file = Path(path) / "tokenizer.json"
    if not file.exists():
        raise InputError(
            f"{file}: is missing, so the model has no tokenizer. Save one beside the weights "
            "(AutoTokenizer.from_pretrained(...).save_pretrained)."
        )
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            path, local_files_only=True, trust_remote_code=False
        )
    except Exception as error:
        from_rust = type(error) is Exception  # the library of tokenizers has no class of its own
        if not (from_rust or isinstance(error, _OF_A_BAD_FILE)):
            raise
        raise InputError(
            f"{file}: cannot be read as a tokenizer: {shortened(str(error))}"
        ) from None
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise InputError(f"{file}: {type(tokenizer).__name__} is not a fast tokenizer.")
    return tokenizer


def tokenizer_fingerprint(tokenizer: PreTrainedTokenizerFast, with_chat_template: bool) -> str:
    """Return the SHA-256 (64 hex digits) of all that decides which ids a text gets.

    Truncation and padding are not part of it: they are the state of the last call.
    """
    return sha256_hex(canonical_json(_identity(tokenizer, with_chat_template)))


def check_same_tokenizer(base: str, reference: str, with_chat_template: bool) -> None:
    """Return if both models give every text the same ids; else raise InputError saying why not."""
    tokenizers = load_tokenizer(base), load_tokenizer(reference)
    left, right = (_identity(each, with_chat_template) for each in tokenizers)
    if left != right:
        raise InputError(
            f"{reference}: its tokenizer is not that of {base}: "
            f"{_vocabulary_difference(*tokenizers) or _difference(left, right)}. Losses of two "
            "models can only be compared token by token; take a reference trained from this base."
        )


def _identity(tokenizer: PreTrainedTokenizerFast, with_chat_template: bool) -> dict[str, Any]:
    backend = json.loads(tokenizer.backend_tokenizer.to_str())
    identity = {key: backend[key] for key in backend if key not in {"truncation", "padding"}}
    identity["special tokens"] = {
        name: str(token) for name, token in tokenizer.special_tokens_map.items()
    }
    if with_chat_template:
        identity["chat template"] = tokenizer.chat_template
    return identity


def _vocabulary_difference(
    base: PreTrainedTokenizerFast, reference: PreTrainedTokenizerFast
) -> str | None:
    """Return how the vocabularies differ, or None if they are the same."""
    left, right = _tokens(base), _tokens(reference)
    if len(left) != len(right):
        return f"it has {len(right)} tokens, the base has {len(left)}"
    for (left_id, left_token), (right_id, right_token) in zip(left, right, strict=True):
        if (left_id, left_token) != (right_id, right_token):
            return (
                f"token {right_id} is {shortened(right_token)}, "
                f"in the base token {left_id} is {shortened(left_token)}"
            )
    return None


def _tokens(tokenizer: PreTrainedTokenizerFast) -> list[tuple[int, str]]:
    return sorted((id, token) for token, id in tokenizer.get_vocab().items())


def _difference(base: Any, reference: Any) -> str:
    """Return where two JSON values first differ, and what each has there."""
    if isinstance(base, list) and isinstance(reference, list):
        base, reference = dict(enumerate(base)), dict(enumerate(reference))
    if not isinstance(base, dict) or not isinstance(reference, dict):
        return f"is {shortened(reference)}, in the base {shortened(base)}"
    key = next(k for k in base | reference if base.get(k) != reference.get(k))
    return f"{key} {_difference(base.get(key), reference.get(key))}"
