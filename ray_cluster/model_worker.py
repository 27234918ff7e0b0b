"""A worker that does jobs with models. Plain class: WorkerPool makes it a Ray actor.

One kind of worker for all of them, so that a warm process that has just scored can train next: on a
GPU two would stand in each other's way, and each costs seconds to start.
"""

import ctypes
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from transformers import PreTrainedModel

from tokensieve.errors import InputError
from tokensieve.models import companions_fingerprint, load_model, model_fingerprint
from tokensieve.planning import ModelSpec


class ModelJob(Protocol):
    """What the worker needs of a job: a dataclass of names and settings with this method."""

    def run(self, worker: "ModelWorker") -> Any:
        """Do the job; return something small."""
        ...


class ModelWorker:
    """Holds one model at a time and does any number of jobs."""

    def __init__(self, num_gpus: float) -> None:
        """Hold nothing yet."""
        self.num_gpus = num_gpus
        self._loaded: tuple[ModelSpec, PreTrainedModel] | None = None
        self._tokens_done = 0
        self._note = ""

    def run(self, job: ModelJob) -> Any:
        """Return the job's result."""
        return job.run(self)

    def progress(self) -> tuple[int, str]:
        """Return how many tokens were run through models, and a note on the job in hand."""
        return self._tokens_done, self._note

    def count(self, num_tokens: int, note: str = "") -> None:
        """Add to the tokens that are done, and say how it goes."""
        self._tokens_done += num_tokens
        self._note = note

    def scorer(self, spec: ModelSpec) -> PreTrainedModel:
        """Return the model ready to score, loaded and checked once; the one before is let go."""
        if self._loaded is None or self._loaded[0] != spec:
            self.let_go()
            check_unchanged(spec)
            self._loaded = spec, load_model(spec.path, spec.dtype, self.num_gpus)
        return self._loaded[1]

    def let_go(self) -> None:
        """Free the memory of the model that is held."""
        self._loaded = None
        return_memory()


@contextmanager
def memory_returned() -> Iterator[None]:
    """Give memory back after the block: for a job that takes much once.

    Not for each shard of a scoring: the next one takes the same again.
    """
    try:
        yield
    finally:
        return_memory()


def return_memory() -> None:
    """Give freed memory back: to the system, and on a GPU to the others that use it.

    Else glibc keeps it, a gigabyte more with each training, and torch keeps that of the GPU.
    """
    gc.collect()  # models refer to themselves in circles
    torch.cuda.empty_cache()
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)


def check_unchanged(spec: ModelSpec) -> None:
    """Raise InputError if the model is not the one that was planned with."""
    found = model_fingerprint(spec.path), companions_fingerprint(spec.path)
    if found != (spec.fingerprint, spec.companions):
        raise InputError(
            f"{spec.place}: the model changed since the run began. Nothing was done with the new "
            "one; run the same command again to start over with it."
        )
