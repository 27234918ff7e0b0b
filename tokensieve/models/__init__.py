"""Models as inputs: a directory is checked before it is read, named by its content, then loaded."""

from tokensieve.models.content import (
    companions,
    companions_fingerprint,
    companions_of_files,
    fingerprint_of_files,
    model_fingerprint,
)
from tokensieve.models.directory import check_model_directory, model_context, read_config
from tokensieve.models.embeddings import input_embeddings
from tokensieve.models.loading import load_model, resolved_dtype
from tokensieve.models.place import ModelPlace
from tokensieve.models.tokenizer import check_same_tokenizer, load_tokenizer, tokenizer_fingerprint

__all__ = [
    "ModelPlace",
    "check_model_directory",
    "check_same_tokenizer",
    "companions",
    "companions_fingerprint",
    "companions_of_files",
    "fingerprint_of_files",
    "input_embeddings",
    "load_model",
    "load_tokenizer",
    "model_context",
    "model_fingerprint",
    "read_config",
    "resolved_dtype",
    "tokenizer_fingerprint",
]
