"""Say what a round kept and dropped, in the terminal and in the Prefect UI. Without sample text."""

from dataclasses import dataclass
from typing import Any

from prefect import task
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE

import sql
from tasks.policies import told_policies
from tasks.run_report import report_key
from tokensieve.artifact import Artifact
from tokensieve.errors import shortened
from tokensieve.methods import find_method
from tokensieve.runs import Round, Run
from tokensieve.storage import Storage

MAX_SOURCES = 20
"""Sources that the terminal lists: those that lost the largest share come first."""
MAX_REASONS = 6
"""Reasons that are told: those of the most tokens."""


@dataclass(frozen=True)
class Summary:
    """What one round did, as the index knows it, and where everything lies."""

    run: str
    stats: dict[str, Any]
    """The round's row of round_stats."""
    sources: list[dict[str, Any]]
    """The round's rows of list_sources."""
    reasons: list[dict[str, Any]]
    """The round's rows of list_reasons; empty if the method gives none."""
    places: dict[str, str]
    """Where the dataset, the scores, the model and the index lie."""
    later: str = ""
    """What the method decides while a model is trained; empty if nothing."""
    policies: str = ""
    """What the policies changed about the method's decision; empty if none is set."""

    def __str__(self) -> str:
        """Return the summary for the terminal."""
        lines = [f"run {self.run}", ""]
        lines += [f"  {name:<11}{text}" for name, text in self.facts().items()]
        lines += ["", *(f"  {line}" for line in self._source_lines()), ""]
        lines += [f"  {name:<11}{place}" for name, place in self.places.items()]
        return "\n".join(lines)

    def markdown(self) -> str:
        """Return the summary for the Prefect UI."""
        facts = [f"| {name} | {text} |" for name, text in self.facts().items()]
        places = [f"| {name} | `{place}` |" for name, place in self.places.items()]
        return "\n".join(["| | |", "|---|---|", *facts, *places])

    def facts(self) -> dict[str, str]:
        """Return the counts of rows and tokens, and the influence, each as a sentence."""
        s = self.stats
        facts = {
            "rows": f"{s['read_rows']:,} read = {s['samples']:,} samples + "
            f"{s['quarantined_rows']:,} quarantined + {s['skipped_rows']:,} skipped",
            "tokens": f"{s['response_tokens']:,} of responses = {self._kinds_of_tokens()}",
            "samples": f"{s['train_samples']:,} to train on; {s['empty_samples']:,} kept no token",
        }
        if s["influence_tokens"]:
            facts["influence"] = (
                f"mean {s['mean_influence']:.3f} nats, median {s['influence_p50']:.3f}; "
                f"the reference is better on {_percent(s['positive_share'])} of the tokens"
            )
        if self.reasons:
            facts["reasons"] = self._reasons()
        if self.policies:
            facts["policies"] = self.policies
        if self.later:
            facts["later"] = self.later
        return facts

    def _kinds_of_tokens(self) -> str:
        s = self.stats
        unlearned = s["unlearned_tokens"]
        kinds = [f"{s['kept_tokens']:,} kept ({_percent(s['kept_share'])})"]
        kinds += [f"{unlearned:,} unlearned"] if unlearned else []
        kinds += [f"{s[f'{kind}_tokens']:,} {kind}" for kind in ("dropped", "unscorable")]
        return " + ".join(kinds)

    def _reasons(self) -> str:
        told = [f"{_bare(r['reason'])} {r['tokens']:,}" for r in self.reasons[:MAX_REASONS]]
        num_more = len(self.reasons) - MAX_REASONS
        told += [f"and {num_more} more"] if num_more > 0 else []
        return f"not kept because: {'; '.join(told)}"

    def _source_lines(self) -> list[str]:
        lines = [f"{'source':<24}{'response':>12}{'kept':>12}{'share':>9}{'influence':>12}"]
        for row in self.sources[:MAX_SOURCES]:
            lines.append(
                f"{_bare(row['source'], 23):<24}{row['response_tokens']:>12,}"
                f"{row['kept_tokens']:>12,}{_percent(row['kept_share']):>9}"
                f"{_nats(row['mean_influence']):>12}"
            )
        if len(self.sources) > MAX_SOURCES:
            lines.append(f"and {len(self.sources) - MAX_SOURCES} more sources")
        return lines


@task(name="summarise-round", task_run_name="summarise-round", cache_policy=NO_CACHE)
def summarise_round(storage: Storage, run: Run, round: Round) -> Summary:
    """Return the summary of a finished round, and show it in the Prefect UI."""
    names: dict[str, str | int] = {"run": run.name, "round": round.round}
    with sql.connect_published(storage) as connection:
        [stats] = sql.rows(sql.run(connection, "summarise_round", **names))
        sources = sql.rows(sql.run(connection, "list_sources", **names))
        reasons = sql.rows(sql.run(connection, "list_reasons", **names))
        changes = sql.rows(sql.run(connection, "list_policies", run=run.name))
    made = round.artifacts(storage)
    later = _later(made["selection"], is_decided=stats["candidate_tokens"] is not None)
    policies = _policies(made["selection"], [row for row in changes if row["round"] == round.round])
    summary = Summary(
        run.name, stats, sources, reasons, _places(storage, run, made), later, policies
    )
    create_markdown_artifact(summary.markdown(), key="summary", description=run.name)
    shown = [{**row, "source": shortened(row["source"])} for row in sources[:MAX_SOURCES]]
    create_table_artifact(shown, key="sources", description="Kept and dropped by source")
    return summary


def _later(selection: Artifact, is_decided: bool) -> str:
    """Return what is decided only when a model is trained on the selection."""
    method = find_method(selection.plan["method"], selection.plan["parameters"])
    if is_decided:
        return f"{method.name} chose at every step of the training; counted is its last epoch"
    if method.each_step:
        return f"of these, {method.name} chooses anew at every step of a training"
    if method.reweigh is not None:
        return f"{method.name} weighs them anew at every step of a training"
    return ""


def _policies(selection: Artifact, changes: list[dict[str, Any]]) -> str:
    """Return what the policies changed; of a method that decides in training, what they will."""
    if "policies" not in selection.plan:
        return ""
    method = find_method(selection.plan["method"], selection.plan["parameters"])
    if method.each_step:
        return f"{', '.join(selection.plan['policies'])}: hold at every step of the training"
    return told_policies(changes)


def _places(storage: Storage, run: Run, made: dict[str, Artifact]) -> dict[str, str]:
    scores = {
        step.removeprefix("scores."): storage.place(artifact.key)
        for step, artifact in made.items()
        if artifact.kind == "scores"
    }
    report = report_key(run.name)
    reported = {"report": storage.place(report)} if storage.exists(report) else {}
    return {
        "dataset": f"{storage.place(made['selection'].key)}/train/*.parquet",
        **scores,
        **_model_places(made),
        **reported,
        "index": sql.index_place(storage),
    }


def _model_places(made: dict[str, Artifact]) -> dict[str, str]:
    """Return where the trained model, its adapter if it has one, and its loss picture lie."""
    if "model" not in made:
        return {}
    model = made["model"]
    receipt = model.stated_receipt(0)
    assert receipt is not None, f"{model.key}: the flow trains it first"
    folders = sorted({part.partition("/")[0] for part in receipt.files if "/" in part})
    places = {name: model.folder(receipt, name) for name in folders}
    return {**places, "loss": f"{model.storage.place(model.key)}/loss.png"}


def _bare(text: str, limit: int = 60) -> str:
    return shortened(text, limit).strip("'")


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"


def _nats(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
