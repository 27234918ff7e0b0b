"""One settings file for every deployment of a place: what they share stands in it once.

The file is a settings file of `clean-drops`. Each of the others takes from it what it knows, and
over that, key by key, its own table `[deployments.NAME]`.
"""

from pathlib import Path
from typing import Any

from tokensieve.errors import SettingsError
from tokensieve.settings.runs import (
    CleanDropsSettings,
    CleanSettings,
    CompareSettings,
    EvolveSettings,
    TrainerSettings,
    WorkspaceSettings,
)
from tokensieve.settings.tree import DEPLOYMENTS, checked, laid_over, read_toml

DEPLOYED: dict[str, type[WorkspaceSettings]] = {
    "clean-drops": CleanDropsSettings,
    "clean": CleanSettings,
    "train": TrainerSettings,
    "evolve-round": EvolveSettings,
    "compare": CompareSettings,
}
"""The settings of each deployment."""
_OF_ITS_OWN = {("evolve-round", "reference")}
"""What stands in the deployment's table or nowhere: here the utility model of toss."""


def deployed_settings(config: Path, deployment: str) -> WorkspaceSettings:
    """Return the settings of a deployment; relative paths are relative to the file.

    Raises SettingsError for what is wrong in what all share, in its own table, or in the name of
    any table.
    """
    values = read_toml(config)
    own = _tables(values, config).get(deployment, {})
    checked(CleanDropsSettings, CleanDropsSettings.with_absolute_paths(values, config))
    settings = DEPLOYED[deployment]
    known = {key for key in settings.model_fields if (deployment, key) not in _OF_ITS_OWN}
    shared = {key: value for key, value in values.items() if key in known}
    return checked(settings, settings.with_absolute_paths(laid_over(shared, own), config))


def _tables(values: dict[str, Any], config: Path) -> dict[str, Any]:
    """Return the tables of the deployments, taken out of the file's values."""
    tables = values.pop(DEPLOYMENTS, {})
    known = f"{config}: {DEPLOYMENTS}: holds one table for each of {', '.join(DEPLOYED)}"
    if not (isinstance(tables, dict) and all(isinstance(own, dict) for own in tables.values())):
        raise SettingsError(f"{known}, and nothing else")
    if unknown := tables.keys() - DEPLOYED.keys():
        raise SettingsError(f"{known}, not for {min(unknown)}")
    return tables
