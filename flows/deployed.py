"""What deployments have beside the flows: their settings, and a flow that an event can start.

deployments/prefect.yaml says when and where flows run; one settings file says with what.
"""

from pathlib import Path
from typing import Any

from prefect import flow

from flows.train import train
from tasks.summary import Summary
from tokensieve.errors import SettingsError
from tokensieve.settings import TrainerSettings, TrainSettings
from tokensieve.settings.deployed import deployed_settings


def read_settings(deployment: str, file: str) -> dict[str, Any]:
    """Return `settings`, the parameter of the deployment's flow: a build step of prefect.yaml.

    It holds what the file says and no defaults, so that these stay the code's. The workspace is
    always in it, and paths are absolute: workers run in directories of their own. Raises
    SettingsError.
    """
    if not file:
        raise SettingsError(
            "TOKENSIEVE_SETTINGS: is not set. Let it name a settings file with everything that the "
            "deployments need, such as deployments/configs/tiny.toml."
        )
    settings = deployed_settings(Path(file), deployment)
    given = settings.model_dump(mode="json", exclude_unset=True)
    return {"settings": given | {"workspace": settings.workspace}}


@flow(name="train-selection", flow_run_name="train-{selection}")
def train_selection(settings: TrainerSettings, selection: str) -> Summary:
    """Train on a selection, or on the last one of a run: whoever starts this knows only its name.

    An event that starts a deployment can give a whole parameter, and not a part of `settings`.
    """
    given = settings.model_dump(exclude_unset=True)
    return train(TrainSettings(**given, selection=selection))
