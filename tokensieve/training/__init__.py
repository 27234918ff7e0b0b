"""Training a model on weighted tokens.

    data.py      the samples of a corpus with the weight of every token
    evidence.py  what is known of them, for a method that has a say in every step
    plan.py      what a step is made of: samples, forward passes, the share of each token
    head.py      loss and gradient, with logits only where a token has a weight
    trainee.py   a model in training, and the adapter on it
    step_selection.py
                 the weights of a step, by what the model then says of its samples
    steps.py     the optimizer's steps: weights, gradient, update, state
    loop.py      a training from its first step, or where another was left, to its last
    ranks.py     several processes that train one model
    state.py     what a training can be taken up from
    saving.py    the trained model as a directory
    disk.py      what is said when the disk is full
    arrays.py    growing arrays over tokens, and taking samples out of them
    reading.py, checkpoints.py, publication.py
                 the same in a workspace: read, kept while it goes on, published when it is done

Shapes: as in `forward` and `corpus`.
"""

from tokensieve.training.data import TrainingData
from tokensieve.training.evidence import StepMethod, StepPolicies, StoredEvidence
from tokensieve.training.loop import Observer, train
from tokensieve.training.publication import Place, train_artifact
from tokensieve.training.ranks import ALONE, Ranks, shard_over_ranks
from tokensieve.training.saving import save_trained
from tokensieve.training.state import StepRecord, TrainingState
from tokensieve.training.trainee import Trainee, load_trainee

__all__ = [
    "ALONE",
    "Observer",
    "Place",
    "Ranks",
    "StepMethod",
    "StepPolicies",
    "StepRecord",
    "StoredEvidence",
    "Trainee",
    "TrainingData",
    "TrainingState",
    "load_trainee",
    "save_trained",
    "shard_over_ranks",
    "train",
    "train_artifact",
]
