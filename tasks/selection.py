"""Decide the weight of every token of a corpus."""

from dataclasses import asdict

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from tasks.progress import step_progress
from tokensieve.artifact import Artifact, Commit
from tokensieve.corpus import Float32s, Shard, read_shard, score_column
from tokensieve.methods import Evidence, Method, find_method
from tokensieve.planning import SelectionStep
from tokensieve.selection import select_shard, selection_tables
from tokensieve.thresholds import find_thresholds
from tokensieve.timings import timed


@task(name="select-tokens", task_run_name="select-tokens", cache_policy=NO_CACHE)
def select_tokens(step: SelectionStep) -> Commit:
    """Return the selection's commit: one weight for every token, and the training view."""
    selection = step.artifact
    selection.declare()
    commit = selection.committed()
    if commit is not None:
        get_run_logger().info("selection %s: done before", selection.id)
        return commit
    with timed(selection):
        return _selected(step)


def _selected(step: SelectionStep) -> Commit:
    """Find the thresholds, and select the shards that are not there yet."""
    selection, settings = step.artifact, step.settings
    method = find_method(settings.method)
    rule, evidence = method.rule(settings), _EvidenceReader(step, method)
    thresholds = find_thresholds(
        lambda shard: method.scored(evidence.read(shard)), selection.num_shards, rule
    )
    with step_progress(f"select {method.name}", selection.num_shards, unit="shards") as bar:
        for shard in range(selection.num_shards):
            if selection.receipt(shard) is None:
                seen = evidence.read(shard)
                scored = method.scored(seen)
                weight_T = select_shard(scored, shard, rule, thresholds)
                tables, counts = selection_tables(
                    seen.shard, scored.score_T, weight_T, settings.keep_empty
                )
                selection.publish(shard, tables, counts)
            bar.advance_to(shard + 1)
    return selection.commit({"thresholds": {name: asdict(t) for name, t in thresholds.items()}})


class _EvidenceReader:
    """Reads what a method looks at, shard by shard, each file verified."""

    def __init__(self, step: SelectionStep, method: Method) -> None:
        self._corpus = _with_commit(step.corpus)
        self._scores = {role: _with_commit(scores) for role, scores in step.scores.items()}
        self._columns = method.columns
        self._seed = step.settings.seed

    def read(self, number: int) -> Evidence:
        shard = read_shard(*self._corpus, number)
        scores = {role: self._role(role, shard, number) for role in self._scores}
        return Evidence(shard, scores, self._seed)

    def _role(self, role: str, shard: Shard, number: int) -> dict[str, Float32s]:
        artifact, commit = self._scores[role]
        names = self._columns[role]
        table = artifact.read_table(
            commit.receipts[number], "shards", columns=["sample_id", *names]
        )
        return {name: score_column(table, name, shard) for name in names}


def _with_commit(artifact: Artifact) -> tuple[Artifact, Commit]:
    return artifact, artifact.required_commit()
