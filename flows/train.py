"""Train a model on what a cleaning kept.

    selection --+
                +--> train, with masked loss --> model --> index --> summary
    base -------+

Run again after any crash: the training goes on from its last checkpoint.
"""

from prefect import flow

from tasks.planning import plan_training
from tasks.record import begin_attempt, record_round
from tasks.summary import Summary, summarise_round
from tasks.training import train_model
from tokensieve.settings import TrainSettings


@flow(name="train", flow_run_name="train-{settings.selection}")
def train(settings: TrainSettings) -> Summary:
    """Return what was trained on, and where the model lies."""
    plan = plan_training(settings)
    begin_attempt(plan.storage, plan.run)
    train_model(plan.training)
    record_round(plan.storage, plan.run, plan.round)
    return summarise_round(plan.storage, plan.run, plan.round)
