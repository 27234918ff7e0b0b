"""Say what the rounds of a model that learns found, in the terminal and in the Prefect UI."""

from dataclasses import dataclass
from typing import Any

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

import sql
from sql.index import update_index
from tasks.history import describe_history
from tasks.pictures import show_picture
from tokensieve.charts import InfluenceQuantiles, RoundPoint, rounds_chart
from tokensieve.planning import EvolvePlan, HardenPlan, current_reference, harmful_model
from tokensieve.runs import Run
from tokensieve.storage import Storage

_QUANTILES = ("p05", "p25", "p50", "p75", "p95")


@dataclass(frozen=True)
class Evolution:
    """What all finished rounds found, and where the last model lies."""

    run: str
    history: str
    """A table of the rounds."""
    places: dict[str, str]
    """Where the model, the picture of the rounds and the index lie, and what was cleaned."""

    def __str__(self) -> str:
        """Return the summary for the terminal."""
        places = [f"  {name:<11}{place}" for name, place in self.places.items()]
        return "\n".join([self.history, "", *places])


@task(name="summarise-evolution", task_run_name="summarise-evolution", cache_policy=NO_CACHE)
def summarise_evolution(plan: EvolvePlan) -> Evolution:
    """Return what all finished rounds found, and show it in the Prefect UI."""
    reference = current_reference(plan, plan.run.finished_rounds(plan.storage))
    return _summarised(plan.storage, plan.run, {"reference": str(reference.place)})


@task(name="summarise-hardening", task_run_name="summarise-hardening", cache_policy=NO_CACHE)
def summarise_hardening(plan: HardenPlan) -> Evolution:
    """Return what all finished rounds found, and show it in the Prefect UI.

    The dataset is the one of the last round, if that is done.
    """
    storage, finished = plan.storage, plan.run.finished_rounds(plan.storage)
    places = {"harmful": str(harmful_model(plan, finished).place)}
    if plan.run.is_finished(storage):
        selection = storage.place(f"selections/{finished[-1].round.selection}")
        places = {"dataset": f"{selection}/train/*.parquet", **places}
    return _summarised(storage, plan.run, places)


def _summarised(storage: Storage, run: Run, places: dict[str, str]) -> Evolution:
    """Show the rounds; return that, with the places where the run's own things lie."""
    update_index(storage)  # a crash may have come before it
    with sql.connect_published(storage) as connection:
        rows = sql.rows(sql.run(connection, "summarise_rounds", run=run.name))
    picture = f"runs/{run.name}/rounds.png"
    chart = rounds_chart([_point(row) for row in rows])
    show_picture("rounds", f"Rounds of {run.name}", chart, storage, picture)
    history = describe_history(storage, run.name)
    create_markdown_artifact(f"```\n{history}\n```", key="history", description=run.name)
    shared = {"picture": storage.place(picture), "index": sql.index_place(storage)}
    return Evolution(run.name, history, places | shared)


def _point(row: dict[str, Any]) -> RoundPoint:
    quantiles = [row[f"influence_{name}"] for name in _QUANTILES]
    return RoundPoint(
        round=row["round"],
        held_out_loss=row["loss_after"],
        accepted=bool(row["promoted"]),
        kept_share=row["kept_share"],
        positive_share=row["positive_share"],
        overlap=row["overlap"],
        influence=None if None in quantiles else InfluenceQuantiles(*quantiles),
    )
