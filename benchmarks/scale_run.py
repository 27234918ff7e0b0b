"""What a run costs by the number of its tokens: everything but the models, at real size.

    python -m benchmarks.scale_run 6 7 8 --directory DIR    # 10^6, 10^7, 10^8 tokens

Draws a corpus and the scores of two models (`simulated_corpus.py`), then does what the driver of a
run does with them: commits, two selections (over the dataset, and in each source), the index of
both runs, status, verify and questions in SQL. Each step is a process of its own, so that the
memory is that step's. Prints seconds elapsed, seconds of processor time, the most memory, and the
processor time per token relative to the first size: 1 is what scales.
"""

import argparse
import json
import resource
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.simulated_corpus import SHARD_TOKENS, declared, publish_shards
from sql import connect_published, run
from sql.index import update_index
from sql.published import INDEX_KEY
from sql.query import query
from tasks.status import describe_runs, verify_artifacts
from tokensieve.artifact import Artifact
from tokensieve.errors import ResourceError
from tokensieve.evidence import EvidenceReader
from tokensieve.ingest.duplicates import find_duplicates
from tokensieve.ingest.quarantine import quarantine_lines
from tokensieve.methods import Selector, Source, chosen_method
from tokensieve.planning import SelectionStep
from tokensieve.planning.steps import selection_step
from tokensieve.runs import Round, Run
from tokensieve.selection import selection_tables
from tokensieve.settings import SelectionSettings
from tokensieve.storage import LocalStorage
from tokensieve.storage.scratch import SCRATCH_PREFIX

SELECTIONS = {
    "dataset": SelectionSettings(method="fixed-model", keep=0.6, scope="dataset"),
    "source": SelectionSettings(method="fixed-model", keep=0.6, scope="source"),
}
MEASURED_TOKENS = "SELECT count(*), avg(influence) FROM tokens WHERE run = 'dataset' AND round = 0"


@dataclass(frozen=True)
class Cost:
    """What a step took."""

    seconds: float
    cpu_seconds: float
    peak_bytes: int
    """Most memory of the process."""
    scratch_bytes: int
    """Most that lay in scratch meanwhile: the index while it is built, and what that spills."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("exponents", nargs="*", type=float, help="tokens, as powers of ten")
    parser.add_argument("--directory", type=lambda given: Path(given).absolute(), required=True)
    parser.add_argument("--child", nargs=2, metavar=("STEP", "SHARDS"))
    options = parser.parse_args()
    if options.child:
        step, num_shards = options.child
        print(json.dumps(_measured(step, options.directory, int(num_shards))))
        return
    first: dict[str, float] = {}
    for exponent in options.exponents:
        num_shards = round(10**exponent / SHARD_TOKENS)
        workspace = options.directory / f"tokens-{exponent:g}"
        print(f"\n10^{exponent:g} tokens, {num_shards} shards")
        print(f"{'step':<28}{'elapsed s':>10}{'cpu s':>9}{'memory MB':>11}{'scratch MB':>12}"
              f"{'per token, first = 1':>22}")  # fmt: skip
        for name in STEPS:
            cost = _in_child(name, workspace, num_shards)
            per_token = cost.cpu_seconds / num_shards
            ratio = per_token / first.setdefault(name, per_token)
            print(f"{name:<28}{cost.seconds:10.1f}{cost.cpu_seconds:9.1f}"
                  f"{cost.peak_bytes / 1e6:11.0f}{cost.scratch_bytes / 1e6:12.0f}{ratio:22.2f}",
                  flush=True)  # fmt: skip
        _print_sizes(workspace, num_shards)
        shutil.rmtree(workspace)


def _in_child(name: str, workspace: Path, num_shards: int) -> Cost:
    """Return what the step costs in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.scale_run", "--directory", str(workspace)]
    scratch_bytes = 0
    with subprocess.Popen(
        [*command, "--child", name, str(num_shards)], stdout=subprocess.PIPE, text=True
    ) as child:
        while child.poll() is None:
            held = sum(map(_num_bytes, workspace.glob(f"{SCRATCH_PREFIX}*")))
            scratch_bytes = max(scratch_bytes, held)
            time.sleep(0.5)
        assert child.stdout is not None
        assert child.returncode == 0, name
        return Cost(**json.load(child.stdout), scratch_bytes=scratch_bytes)


def _measured(name: str, workspace: Path, num_shards: int) -> dict[str, float]:
    """Return what the step costs, from here to its end."""
    began, cpu_began = time.perf_counter(), _cpu_seconds()
    STEPS[name](workspace, num_shards)
    return {
        "seconds": time.perf_counter() - began,
        "cpu_seconds": _cpu_seconds() - cpu_began,
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


def _cpu_seconds() -> float:
    """Return the processor time of this process and of those it has started and seen end."""
    usages = [resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _start(workspace: Path, num_shards: int) -> None:
    """Do nothing: what a process holds that has imported everything."""


def _commit_corpus(workspace: Path, num_shards: int) -> None:
    corpus, _ = declared(workspace, num_shards)
    corpus.done_shards()
    receipts = corpus.stated_receipts()
    quarantine_lines(corpus.read_table(receipt, "rejected") for receipt in receipts)
    rows = [corpus.read_table(receipt, "rows") for receipt in receipts]
    corpus.commit({"duplicates": find_duplicates(rows, ()).rows})


def _commit_scores(workspace: Path, num_shards: int) -> None:
    _, scores = declared(workspace, num_shards)
    for each in scores.values():
        each.done_shards()
        each.commit()


def _step(workspace: Path, num_shards: int, name: str) -> SelectionStep:
    corpus, scores = declared(workspace, num_shards)
    return selection_step(corpus, scores, SELECTIONS[name])


def _select(workspace: Path, num_shards: int, name: str) -> None:
    """Do what the task does, without its bar."""
    step = _step(workspace, num_shards, name)
    selection, method = step.artifact, chosen_method(step.settings)
    selection.declare()
    reader = EvidenceReader(step.corpus, step.scores, method.columns, step.settings.seed)
    selector = Selector.of(method, step.settings, Source(reader.read, num_shards))
    for shard in range(num_shards):
        seen = reader.read(shard)
        decision = selector.decide(seen)
        selection.publish(shard, *selection_tables(seen.shard, decision, keep_empty=False))
    selection.commit()


def _select_in_dataset(workspace: Path, num_shards: int) -> None:
    _select(workspace, num_shards, "dataset")


def _select_in_source(workspace: Path, num_shards: int) -> None:
    _select(workspace, num_shards, "source")


def _record(workspace: Path, num_shards: int, name: str) -> None:
    """Finish a run of one round, and add it to the index."""
    step = _step(workspace, num_shards, name)
    storage, corpora = step.corpus.storage, {"drop": step.corpus.id}
    round = Round(
        round=0,
        corpus=step.corpus.id,
        scores={role: artifact.id for role, artifact in step.scores.items()},
        selection=step.artifact.id,
    )
    asked = Run(
        name=name, flow="clean", settings={}, inputs=[], models={}, corpora=corpora, num_rounds=1
    )
    asked.publish(storage)
    asked.begin_round(storage, round)
    asked.finish_round(storage, round)
    update_index(storage)


def _record_first(workspace: Path, num_shards: int) -> None:
    _record(workspace, num_shards, "dataset")


def _record_second(workspace: Path, num_shards: int) -> None:
    _record(workspace, num_shards, "source")


def _status(workspace: Path, num_shards: int) -> None:
    describe_runs(LocalStorage(workspace))


def _verify(workspace: Path, num_shards: int) -> None:
    verify_artifacts(LocalStorage(workspace))


def _ask_summaries(workspace: Path, num_shards: int) -> None:
    with connect_published(LocalStorage(workspace)) as connection:
        assert run(connection, "summarise_rounds", run="dataset").fetchall()
        assert run(connection, "list_sources", run="dataset", round=0).fetchall()


def _ask_tokens(workspace: Path, num_shards: int) -> None:
    try:
        query(LocalStorage(workspace), MEASURED_TOKENS, max_rows=1, max_seconds=7200)
    except ResourceError as error:  # beyond some size it has to be refused
        print(error, file=sys.stderr)


def _print_sizes(workspace: Path, num_shards: int) -> None:
    """Print what lies on disk, by artifact and by kind of document."""
    corpus, scores = declared(workspace, num_shards)
    selection = _step(workspace, num_shards, "dataset").artifact
    tokens = corpus.required_commit().totals["tokens"]
    for artifact in (corpus, scores["base"], selection):
        _print_size(artifact, tokens)
    index_bytes = corpus.storage.local(INDEX_KEY).stat().st_size
    print(
        f"{'index':<12}{index_bytes / tokens:8.3f} B/token {index_bytes / 1e6:10.1f} MB, 2 rounds"
    )


def _print_size(artifact: Artifact, tokens: int) -> None:
    place = artifact.storage.path(artifact.key)
    commit = (place / "COMMIT.json").stat().st_size
    receipts = _num_bytes(place / "receipts")
    files = _num_bytes(place) - commit - receipts
    print(f"{artifact.kind:<12}{files / tokens:8.3f} B/token, {artifact.num_shards} receipts of "
          f"{receipts / artifact.num_shards:.0f} B, COMMIT {commit / 1e6:.2f} MB")  # fmt: skip


def _num_bytes(directory: Path) -> int:
    return sum(_size(path) for path in directory.rglob("*"))


def _size(path: Path) -> int:
    """Return the bytes of a file; 0 if it is none, or gone meanwhile."""
    try:
        return path.stat().st_size if path.is_file() else 0
    except FileNotFoundError:
        return 0


STEPS = {
    "a process that has started": _start,
    "publish corpus and scores": publish_shards,
    "commit the corpus": _commit_corpus,
    "commit two scores": _commit_scores,
    "select in the dataset": _select_in_dataset,
    "index of the first run": _record_first,
    "status": _status,
    "verify": _verify,
    "SQL: rounds and sources": _ask_summaries,
    "SQL: over all tokens": _ask_tokens,
    "select in each source": _select_in_source,
    "index of the second run": _record_second,
}


if __name__ == "__main__":
    main()
