"""Decide the weight of every token of a corpus."""

from dataclasses import asdict, replace
from functools import partial

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from tasks.progress import step_progress
from tokensieve.artifact import Commit
from tokensieve.evidence import EvidenceReader
from tokensieve.methods import Method, Selector, Source, chosen_method, deferred
from tokensieve.models import input_embeddings
from tokensieve.planning import SelectionStep, frozen_thresholds
from tokensieve.policies import Policies
from tokensieve.selection import selection_tables
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
    """Make the method ready for the corpus, and select the shards that are not there yet."""
    selection, settings = step.artifact, step.settings
    method = chosen_method(settings)
    policies = _policies(step, method)
    method = deferred(method) if method.each_step else method
    source = _source(step, method)
    if step.frozen is None:
        selector = Selector.of(method, settings, source)
    else:
        selector = Selector.frozen(method, settings, frozen_thresholds(step.frozen, step.artifact))
    with step_progress(f"select {method.name}", selection.num_shards, unit="shards") as bar:
        for shard in range(selection.num_shards):
            if selection.receipt(shard) is None:
                seen = source.read(shard)
                decision = selector.decide(seen)
                if policies is not None:
                    decision = policies.decide(decision, seen, selector.rule)
                selection.publish(
                    shard, *selection_tables(seen.shard, decision, settings.keep_empty)
                )
            bar.advance_to(shard + 1)
    thresholds = {name: asdict(each) for name, each in selector.thresholds.items()}
    return selection.commit({"thresholds": thresholds, "fitted": selector.notes})


def _policies(step: SelectionStep, method: Method) -> Policies | None:
    """Return what overrides the method; None if nothing does."""
    if step.overriding is None:
        return None
    return Policies.of(step.overriding.settings, step.overriding.base.path, method.each_step)


def _source(step: SelectionStep, method: Method) -> Source:
    """Return where the method reads what it looks at."""
    seed = step.settings.seed
    reader = EvidenceReader(step.corpus, step.scores, method.columns, seed)
    source = Source(reader.read, step.artifact.num_shards, vocabulary=reader.vocabulary)
    if step.planted is not None:
        copy = EvidenceReader(step.planted.corpus, step.planted.scores, method.columns, seed)
        source = replace(source, planted=copy.planted)
    if step.embeddings is not None:
        source = replace(source, embeddings=partial(input_embeddings, step.embeddings.path))
    return source
