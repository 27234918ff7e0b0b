"""Every setting of every command, each written, documented and given its default once.

The same frozen tree comes from a TOML file, from the flags of the command line and from the
parameters of a Prefect deployment. Unknown keys are errors.

    tree.py      loading and checking
    groups.py    the groups: corpus, scoring, selection, training, rounds, evaluation, cluster
    runs.py      the tree of each command
"""

from tokensieve.settings.groups import (
    ClusterSettings,
    CorpusSettings,
    Dtype,
    EvaluationSettings,
    LoraSettings,
    Normaliser,
    RoundsSettings,
    Scope,
    ScoringSettings,
    SelectionSettings,
    TrainingSettings,
)
from tokensieve.settings.runs import (
    ArmsSettings,
    BenchmarkSettings,
    CleanSettings,
    CompareSettings,
    DropSettings,
    EvolveSettings,
    ExternalSettings,
    ScoredSettings,
    TrainSettings,
    WorkspaceSettings,
)
from tokensieve.settings.tree import Settings, checked

__all__ = [
    "ArmsSettings",
    "BenchmarkSettings",
    "ClusterSettings",
    "CorpusSettings",
    "CleanSettings",
    "CompareSettings",
    "DropSettings",
    "Dtype",
    "EvaluationSettings",
    "EvolveSettings",
    "ExternalSettings",
    "LoraSettings",
    "Normaliser",
    "RoundsSettings",
    "Scope",
    "ScoredSettings",
    "ScoringSettings",
    "SelectionSettings",
    "Settings",
    "TrainSettings",
    "TrainingSettings",
    "WorkspaceSettings",
    "checked",
]
