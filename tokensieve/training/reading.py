"""Read what a declared model is trained on: the corpus, the weights of its selection, and what the
selection's method looks at if it has a say in every step.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tokensieve.artifact import Artifact, load_artifact
from tokensieve.corpus import Float32s, Shard, read_shard, score_column
from tokensieve.evidence import EvidenceReader
from tokensieve.methods import Method, deferred, find_method
from tokensieve.policies import PROTECTED
from tokensieve.settings import PolicySettings, SelectionSettings
from tokensieve.training.arrays import append
from tokensieve.training.data import TrainingData
from tokensieve.training.evidence import StepMethod, StepPolicies, StoredEvidence


def read_training_data(model: Artifact) -> TrainingData:
    """Return the corpus of the declared model with the weights of its selection."""
    corpus = load_artifact(model.storage, "corpora", model.plan["corpus"])
    selection = load_artifact(model.storage, "selections", model.plan["selection"])
    return TrainingData.joined(
        _weighted_shards(corpus, selection),
        selection.plan["keep_empty"],
        _step_method(corpus, selection),
    )


def _weighted_shards(corpus: Artifact, selection: Artifact) -> Iterator[tuple[Shard, Float32s]]:
    samples, weights = corpus.required_commit(), selection.required_commit()
    for number, receipt in enumerate(weights.receipts):
        shard = read_shard(corpus, samples, number)
        table = selection.read_table(receipt, "shards", columns=["sample_id", "weight"])
        yield shard, score_column(table, "weight", shard)


def _step_method(corpus: Artifact, selection: Artifact) -> StepMethod | None:
    """Return the selection's method if it has a say in every step."""
    plan = selection.plan
    method = find_method(plan["method"], plan["parameters"])
    if not method.each_step and method.reweigh is None:
        return None
    settings = SelectionSettings(
        method=plan["method"],
        parameters=plan["parameters"],
        keep=plan["keep"],
        scope=plan["scope"],
        seed=plan["seed"] or 0,
    )
    evidence = _stored_evidence(corpus, selection, method) if method.each_step else None
    chosen = StepMethod(method, settings, evidence)
    if "attention_layer" in plan:
        chosen = replace(chosen, attention_layer=plan["attention_layer"])
    if method.each_step and "policies" in plan:
        chosen = replace(chosen, policies=_step_policies(selection))
    return chosen


def _step_policies(selection: Artifact) -> StepPolicies:
    """Return what overrides the method, with what the selection says is protected."""
    settings = PolicySettings(**selection.plan["policies"])
    names = pa.array(settings.protections, pa.string())
    guard_T = np.zeros(0, np.int8)
    for receipt in selection.required_commit().receipts:
        table = selection.read_table(receipt, "shards", columns=[PROTECTED])
        words = pc.list_flatten(table[PROTECTED]).cast(pa.string())
        append(guard_T, pc.fill_null(pc.index_in(words, value_set=names), -1).to_numpy())
    return StepPolicies(settings, guard_T)


def _stored_evidence(corpus: Artifact, selection: Artifact, method: Method) -> StoredEvidence:
    scores = {
        role: load_artifact(selection.storage, "scores", id)
        for role, id in selection.plan["scores"].items()
    }
    reader = EvidenceReader(corpus, scores, deferred(method).columns, seed=0)
    return StoredEvidence.joined(map(reader.read, range(selection.num_shards)))
