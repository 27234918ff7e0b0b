"""Plans: every artifact that a run will use or make, named before the work is done.

models.py    the models of a run, checked to belong together
steps.py     the steps that runs are made of
room.py      is there room on the disk
clean.py     one cleaning
"""

from tokensieve.planning.clean import CleanPlan, check_given, plan_clean
from tokensieve.planning.models import ModelSpec, model_spec, trained_spec
from tokensieve.planning.steps import (
    CorpusStep,
    EvaluationStep,
    ScoringStep,
    SelectionStep,
    TrainingStep,
)

__all__ = [
    "CleanPlan",
    "CorpusStep",
    "EvaluationStep",
    "ModelSpec",
    "ScoringStep",
    "SelectionStep",
    "TrainingStep",
    "check_given",
    "model_spec",
    "plan_clean",
    "trained_spec",
]
