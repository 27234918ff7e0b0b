"""Record a finished arm of a comparison."""

import duckdb

from sql.recording.artifacts import committed, cost_of, insert, record_artifact
from sql.recording.trainings import record_training
from tokensieve.artifact import load_artifact
from tokensieve.parts import scores_of
from tokensieve.runs import Arm, Run
from tokensieve.storage import Storage


def record_arm(
    connection: duckdb.DuckDBPyConnection, storage: Storage, of_run: Run, arm: Arm
) -> None:
    """Add a finished arm of a recorded run, and the models that it trained, to the index."""
    models = [load_artifact(storage, "models", id) for id in arm.models]
    for each in map(committed, models):
        record_artifact(connection, each)
        record_training(connection, each)
    selections = [load_artifact(storage, "selections", id) for id in arm.selections]
    cost = cost_of([*models, *selections, *scores_of(selections)])
    named = {"run": of_run.name, "arm": arm.arm, "seed": arm.seed}
    found = arm.model_dump(exclude={"tasks", "lower_is_better"})
    row = {**named, **found, "model": arm.models[-1], "seconds": cost["seconds"]}
    insert(connection, "record_arm", [row])
    tasks = [{**named, "task": task, "value": value} for task, value in arm.tasks.items()]
    insert(connection, "record_arm_tasks", tasks)
