"""A workspace made by hand: artifacts through the real protocol, with numbers a test chooses."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from tokensieve.artifact import Artifact, Commit
from tokensieve.corpus import Float32s, Shard, read_shard, scores_table
from tokensieve.ingest.quarantine import REJECTED_SCHEMA
from tokensieve.runs import Round, Run
from tokensieve.selection import POLICY, Decision, Words, selection_tables
from tokensieve.storage import LocalStorage

VOCABULARY = pa.table(
    {
        "token_id": pa.array(range(8), pa.int32()),
        "text": ["<s>", "a", "\x00", "'; DROP TABLE rounds; --", "\u202e", "=1+1", "é", "\x1b[31m"],
        "special": [True] + [False] * 7,
    }
)


@dataclass(frozen=True)
class Sample:
    """One sample: the first token is its prompt, the others are its response."""

    id: str
    source: str
    tokens: tuple[int, ...]
    turns: tuple[int, ...] | None = None


def make_corpus(
    storage: LocalStorage,
    shards: Sequence[Sequence[Sample]],
    duplicates: dict[str, list[int]] | None = None,
    rejected: Sequence[dict[str, object]] = (),
) -> Artifact:
    """Return a committed corpus."""
    plan = {"kind": "corpora", "num_shards": len(shards), "content": repr(shards)}
    corpus = Artifact(storage, "corpora", plan)
    corpus.declare()
    for number, samples in enumerate(shards):
        shard = _shard(samples)
        tables = {"shards": shard.to_table()}
        if number == 0:
            tables["vocabulary"] = VOCABULARY
            tables["rejected"] = _rejected_table(rejected)
        counts = {
            "rows": shard.num_samples + (len(rejected) if number == 0 else 0),
            "scored": shard.num_samples,
            "quarantined": len(rejected) if number == 0 else 0,
            "skipped": 0,
            "tokens": len(shard.input_ids_T),
            "response_tokens": int(shard.response_T.sum()),
        }
        corpus.publish(number, tables, counts)
    corpus.commit({"duplicates": duplicates or {}})
    return corpus


def make_scores(
    corpus: Artifact,
    role: str,
    nll: Sequence[Sequence[float]],
    non_finite: int = 0,
    name: str = "nll",
) -> Artifact:
    """Return committed scores: `nll` of all response tokens, shard by shard; NaN is no score.

    Under another name they are the only column; nll has half of each as entropy beside it.
    """
    plan = {"kind": "scores", "corpus": corpus.id, "num_shards": len(nll), "dtype": "float32"}
    plan |= {"content": [role, name, repr(nll)]}
    scores = Artifact(corpus.storage, "scores", plan)
    scores.declare()
    for number, values in enumerate(nll):
        shard = read_shard(corpus, _commit(corpus), number)
        nll_T = _along(shard, values)
        counts = {"non_finite_tokens": non_finite if number == 0 else 0}
        columns = {name: nll_T} | ({"entropy": nll_T / 2} if name == "nll" else {})
        table = scores_table(shard, columns)
        scores.publish(number, {"shards": table}, counts)
    scores.commit()
    return scores


def make_selection(
    corpus: Artifact,
    weights: Sequence[Sequence[float]],
    unscorable: Sequence[Sequence[bool]] | None = None,
    scores: dict[str, Artifact] | None = None,
    keep_empty: bool = False,
    attributes: Mapping[str, Sequence[Sequence[float]]] | None = None,
    reasons: Sequence[Sequence[str]] | None = None,
    policies: Sequence[Sequence[str]] | None = None,
) -> Artifact:
    """Return a committed selection: weights of all response tokens, shard by shard.

    `attributes` are like the weights, `reasons` and `policies` too: "" where nothing is to be said.
    """
    content = repr([weights, unscorable, attributes, reasons, policies])
    plan = {"corpus": corpus.id, "num_shards": len(weights), "content": content}
    plan |= {"keep_empty": keep_empty, "method": "full", "parameters": {}}
    plan |= {"keep": None, "scope": None}
    plan |= {"scores": {role: artifact.id for role, artifact in (scores or {}).items()}}
    selection = Artifact(corpus.storage, "selections", plan)
    selection.declare()
    for number, values in enumerate(weights):
        shard = read_shard(corpus, _commit(corpus), number)
        score_T = np.where(shard.response_T, 0.0, np.nan)
        if unscorable is not None:
            score_T[shard.response_T] = np.where(unscorable[number], np.nan, 0.0)
        decision = Decision(
            score_T=score_T,
            weight_T=np.nan_to_num(_along(shard, values)),
            attributes={n: _along(shard, each[number]) for n, each in (attributes or {}).items()},
            **(_reasons(shard, reasons[number]) if reasons else {}),
            words={POLICY: _words(shard, policies[number])} if policies else {},
        )
        tables, counts = selection_tables(shard, decision, keep_empty)
        selection.publish(number, tables, counts)
    selection.commit()
    return selection


def _along(shard: Shard, values: Sequence[float]) -> Float32s:
    """Return the values of the response tokens over all tokens, NaN in the prompts."""
    value_T = np.full(len(shard.input_ids_T), np.nan, dtype=np.float32)
    value_T[shard.response_T] = values
    return value_T


def _reasons(shard: Shard, reasons: Sequence[str]) -> dict[str, Any]:
    words = _words(shard, reasons)
    return {"reason_T": words.code_T, "reasons": words.names}


def _words(shard: Shard, words: Sequence[str]) -> Words:
    """Return the words of the response tokens over all tokens, none in the prompts."""
    names = ("", *sorted({word for word in words if word}))
    code_T = np.full(len(shard.input_ids_T), -1, dtype=np.int64)
    code_T[shard.response_T] = [names.index(word) or -1 for word in words]
    return Words(code_T, names)


@dataclass(frozen=True)
class Step:
    """One optimizer step of a training."""

    loss: float | None
    kept_tokens: int
    tokens: int
    learning_rate: float = 0.5
    gradient_norm: float | None = None
    scored_tokens: int = 0


def make_model(
    storage: LocalStorage,
    selection: Artifact,
    steps: Sequence[Step],
    seed: int = 0,
    decided: Mapping[str, Sequence[float | None]] | None = None,
) -> Artifact:
    """Return a committed model trained on the selection, with a folder that holds no model.

    `decided`: what each token of each sample weighed last, if that was decided at each step.
    """
    plan = {
        "kind": "models",
        "num_shards": 1,
        "corpus": selection.plan["corpus"],
        "selection": selection.id,
        "init": "feed",
        "precision": "float32",
        "device": "cpu",
        "training": {"seed": seed, "content": repr([steps, decided])},
    }
    model = Artifact(storage, "models", plan)
    model.declare()
    counts = {
        "samples": 4,
        "trained_samples": 3,
        "kept_tokens": sum(step.kept_tokens for step in steps),
        "steps": len(steps),
        "skipped_steps": sum(step.loss is None for step in steps),
        "tokens": sum(step.tokens for step in steps),
        "scored_tokens": sum(step.scored_tokens for step in steps),
    }
    tables = {"steps": _steps_table(steps)}
    if decided is not None:
        columns = {"sample_id": list(decided), "weight": list(decided.values())}
        types = {"sample_id": pa.string(), "weight": pa.list_(pa.float32())}
        tables["decisions"] = pa.table(columns, pa.schema(types))
        counts |= _decided_counts(decided)
    with storage.scratch() as scratch:
        (scratch / "config.json").write_text("{}")
        model.publish(0, tables, counts, {"model": scratch})
    model.commit({"fingerprint": f"content of {model.id}"})
    return model


def _decided_counts(decided: Mapping[str, Sequence[float | None]]) -> dict[str, int]:
    chosen = [[w for w in weights if w is not None] for weights in decided.values()]
    return {
        "samples": len(decided),
        "trained_samples": sum(any(weights) for weights in chosen),
        "kept_tokens": sum(weight > 0 for weights in chosen for weight in weights),
        "candidate_tokens": sum(map(len, chosen)),
    }


def make_part(whole: Artifact, shards: Sequence[Sequence[Sample]]) -> Artifact:
    """Return a committed corpus of some samples of another one: it has no files of its own."""
    plan = {"kind": "corpora", "num_shards": len(shards), "of": whole.id, "content": repr(shards)}
    part = Artifact(whole.storage, "corpora", plan)
    part.declare()
    for number, samples in enumerate(shards):
        shard = _shard(samples)
        counts = {
            "rows": shard.num_samples,
            "scored": shard.num_samples,
            "tokens": len(shard.input_ids_T),
            "response_tokens": int(shard.response_T.sum()),
        }
        part.publish(number, {"shards": shard.to_table()}, counts)
    part.commit()
    return part


def begin_run(storage: LocalStorage, name: str, **fields: Any) -> Run:
    """Return a run of which nothing is begun yet; `fields` are those of Run."""
    asked = {
        "flow": "clean",
        "settings": {"method": "fixed-model"},
        "inputs": [{"name": "a.jsonl", "num_bytes": 1, "sha256": "0" * 64}],
        "models": {},
        "corpora": {},
        "num_rounds": 1,
    }
    run = Run(name=name, **asked | fields)
    run.publish(storage)
    return run


def finish_run(
    storage: LocalStorage,
    name: str,
    rounds: Sequence[tuple[Artifact, dict[str, Artifact], Artifact]],
) -> Run:
    """Return a run whose rounds, (corpus, scores by role, selection) each, are all finished."""
    corpora = {"drop": rounds[0][0].id}
    run = begin_run(storage, name, corpora=corpora, num_rounds=len(rounds))
    for number, (corpus, scores, selection) in enumerate(rounds):
        round = Round(
            round=number,
            corpus=corpus.id,
            scores={role: artifact.id for role, artifact in scores.items()},
            selection=selection.id,
        )
        run.begin_round(storage, round)
        run.finish_round(storage, round)
    return run


def _commit(artifact: Artifact) -> Commit:
    commit = artifact.committed()
    assert commit is not None
    return commit


def _shard(samples: Sequence[Sample]) -> Shard:
    lengths = [len(sample.tokens) for sample in samples]
    offsets_N1 = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64)
    turns = [sample.turns or (0,) * len(sample.tokens) for sample in samples]
    response = [[False] + [True] * (len(sample.tokens) - 1) for sample in samples]
    return Shard(
        sample_ids=[sample.id for sample in samples],
        sources=[sample.source for sample in samples],
        offsets_N1=offsets_N1,
        input_ids_T=np.array([t for s in samples for t in s.tokens], dtype=np.int32),
        response_T=np.array([r for row in response for r in row], dtype=np.bool_),
        turn_T=np.array([t for row in turns for t in row], dtype=np.int16),
    )


def _steps_table(steps: Sequence[Step]) -> pa.Table:
    rows = [asdict(step) | {"step": number} for number, step in enumerate(steps, 1)]
    types = {
        "step": pa.int32(),
        "loss": pa.float64(),
        "learning_rate": pa.float64(),
        "kept_tokens": pa.int64(),
        "tokens": pa.int64(),
        "gradient_norm": pa.float64(),
        "scored_tokens": pa.int64(),
    }
    return pa.Table.from_pylist(rows, schema=pa.schema(types))


def _rejected_table(rows: Sequence[dict[str, object]]) -> pa.Table:
    """Return the rows in the real schema; what they do not say is empty."""
    empty = {f.name: 0 if f.type == pa.int64() else "" for f in REJECTED_SCHEMA} | {"raw": b""}
    return pa.Table.from_pylist([empty | row for row in rows], schema=REJECTED_SCHEMA)
