"""Plans: every artifact that a run will use or make, named before the work is done.

models.py    the models of a run, checked to belong together
steps.py     the steps that runs are made of
room.py      is there room on the disk
declaring.py the plans of a run are published
evidence.py  what methods look at: scores by role, planted copies, numbers made elsewhere
clean.py     one cleaning
frozen.py    thresholds of another selection
drops.py     what is new in a drop
train.py     one training
evolve.py    self-evolving cleaning, round by round
harden.py    rounds in which the harmful model of toss learns
"""

from tokensieve.planning.benchmark import (
    ORACLE,
    NoisyDrop,
    check_benchmark_given,
    compare_settings,
    noisy_corpus,
)
from tokensieve.planning.clean import CleanPlan, check_given, plan_clean
from tokensieve.planning.compare import (
    SELF_EVOLVING,
    ArmPlan,
    ComparePlan,
    WarmupPlan,
    base_on_holdout,
    check_compare_given,
    evolve_settings,
    plan_arm_evidence,
    plan_arms,
    plan_compare,
    plan_evaluation,
    plan_warmup,
)
from tokensieve.planning.drops import VisitPlan, check_drops_given, plan_visit, way_of
from tokensieve.planning.evidence import EvidencePlan, ExternalStep, PlantStep
from tokensieve.planning.evolve import (
    EvolvePlan,
    RoundPlan,
    check_evolve_given,
    current_reference,
    held_out_steps,
    next_round,
    outcome_of,
    plan_evolve,
    reason_to_stop,
)
from tokensieve.planning.frozen import frozen_thresholds
from tokensieve.planning.harden import (
    HardenPlan,
    HardenRound,
    Retraining,
    check_harden_given,
    harden_outcome,
    hardens,
    harmful_held_out_steps,
    harmful_model,
    next_harden_round,
    plan_harden,
)
from tokensieve.planning.models import ModelSpec, model_spec, trained_spec
from tokensieve.planning.steps import (
    CorpusStep,
    EvaluationStep,
    ScoringStep,
    SelectionStep,
    TrainingStep,
)
from tokensieve.planning.train import TrainPlan, check_train_given, plan_train

__all__ = [
    "ORACLE",
    "SELF_EVOLVING",
    "ArmPlan",
    "ComparePlan",
    "WarmupPlan",
    "base_on_holdout",
    "check_benchmark_given",
    "check_compare_given",
    "compare_settings",
    "evolve_settings",
    "plan_arm_evidence",
    "plan_arms",
    "plan_compare",
    "plan_evaluation",
    "plan_warmup",
    "CleanPlan",
    "CorpusStep",
    "EvaluationStep",
    "EvidencePlan",
    "ExternalStep",
    "EvolvePlan",
    "HardenPlan",
    "HardenRound",
    "ModelSpec",
    "NoisyDrop",
    "PlantStep",
    "Retraining",
    "RoundPlan",
    "ScoringStep",
    "SelectionStep",
    "TrainPlan",
    "TrainingStep",
    "VisitPlan",
    "check_drops_given",
    "check_evolve_given",
    "check_given",
    "check_harden_given",
    "check_train_given",
    "current_reference",
    "frozen_thresholds",
    "harden_outcome",
    "hardens",
    "harmful_held_out_steps",
    "harmful_model",
    "held_out_steps",
    "model_spec",
    "next_harden_round",
    "next_round",
    "noisy_corpus",
    "outcome_of",
    "plan_clean",
    "plan_evolve",
    "plan_harden",
    "plan_train",
    "plan_visit",
    "reason_to_stop",
    "trained_spec",
    "way_of",
]
