"""Every setting of every command, each written, documented and given its default once.

The same frozen tree comes from a TOML file, from the flags of the command line and from the
parameters of a Prefect deployment. Unknown keys are errors.

    tree.py      loading and checking
    groups.py    the groups: corpus, scoring, selection, training, rounds, evaluation, cluster,
                drift
    policies.py  the group of what overrides a method
    runs.py      the tree of each command
    deployed.py  the settings of every deployment of a place, from one file
"""

from tokensieve.settings.groups import (
    ClusterSettings,
    CorpusSettings,
    DriftSettings,
    Dtype,
    EvaluationSettings,
    LoraSettings,
    Normaliser,
    RoundsSettings,
    S3Settings,
    Scope,
    ScoringSettings,
    SelectionSettings,
    TrainingSettings,
)
from tokensieve.settings.policies import PolicySettings
from tokensieve.settings.runs import (
    ArmsSettings,
    BenchmarkSettings,
    CleanDropsSettings,
    CleaningSettings,
    CleanSettings,
    CompareSettings,
    DropSettings,
    EvolveSettings,
    ExternalSettings,
    ScoredSettings,
    TrainerSettings,
    TrainSettings,
    WorkspaceSettings,
)
from tokensieve.settings.tree import Settings, checked

__all__ = [
    "ArmsSettings",
    "BenchmarkSettings",
    "ClusterSettings",
    "CorpusSettings",
    "CleanDropsSettings",
    "CleanSettings",
    "CleaningSettings",
    "CompareSettings",
    "DriftSettings",
    "DropSettings",
    "Dtype",
    "EvaluationSettings",
    "EvolveSettings",
    "ExternalSettings",
    "LoraSettings",
    "Normaliser",
    "PolicySettings",
    "RoundsSettings",
    "S3Settings",
    "Scope",
    "ScoredSettings",
    "ScoringSettings",
    "SelectionSettings",
    "Settings",
    "TrainSettings",
    "TrainerSettings",
    "TrainingSettings",
    "WorkspaceSettings",
    "checked",
]
