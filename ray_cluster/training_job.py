"""Train one model on one selection, in the worker's own process."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from os import sched_getaffinity

import torch

from ray_cluster.model_worker import ModelWorker, check_unchanged, memory_returned
from tokensieve.artifact import Receipt, load_artifact
from tokensieve.planning import ModelSpec
from tokensieve.settings import TrainingSettings
from tokensieve.storage import Storage
from tokensieve.training import Place, train_artifact


@dataclass(frozen=True)
class TrainingJob:
    """One model to train. Names what to do; the tokens and weights stay on disk."""

    storage: Storage
    model: str
    init: ModelSpec
    settings: TrainingSettings
    alone: bool
    """Whether no other job runs beside it, so that it may compute on all processors."""

    def __str__(self) -> str:
        """Return the job's name in messages."""
        return f"models/{self.model}"

    def run(self, worker: ModelWorker) -> Receipt:
        """Train the model, publish it and return its receipt; a finished one is kept."""
        model = load_artifact(self.storage, "models", self.model)
        worker.let_go()
        check_unchanged(self.init)
        with memory_returned(), _all_processors(self.alone and self.init.device == "cpu"):
            place = Place(worker.num_gpus)
            receipt = train_artifact(model, self.init.path, self.settings, place, worker.count)
        assert receipt is not None, "the only rank publishes"
        return receipt


@contextmanager
def _all_processors(wanted: bool) -> Iterator[None]:
    """Compute on all processors of the machine, not only on the worker's share of them."""
    num_threads = torch.get_num_threads()
    torch.set_num_threads(len(sched_getaffinity(0)) if wanted else num_threads)
    try:
        yield
    finally:
        torch.set_num_threads(num_threads)
