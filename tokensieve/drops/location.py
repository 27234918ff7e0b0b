"""Where drops arrive: a directory, or an s3:// address. What lies there is not opened."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tokensieve.addresses import is_address, lies_in
from tokensieve.drops.drop import Drop
from tokensieve.drops.folders import folder_names, look_at_folder
from tokensieve.drops.prefixes import find_prefixes, look_at_prefix
from tokensieve.errors import InputError, SettingsError
from tokensieve.settings import S3Settings


@dataclass(frozen=True)
class Found:
    """What lies at a location."""

    drops: tuple[Drop, ...]
    """By name."""
    now: float
    """The time by the clock of what holds the files, in seconds since 1970."""
    warnings: tuple[str, ...]
    """What is no drop, one line each."""
    failures: Mapping[str, InputError]
    """What is wrong with the drops that cannot be looked at, by name."""


def check_location(location: str, workspace: str) -> None:
    """Raise SettingsError if there is no such directory, or if it and the workspace are nested."""
    if not is_address(location) and not Path(location).is_dir():
        raise SettingsError(f"{location}: there is no such directory. Give the location of drops.")
    place, made = _resolved(location), _resolved(workspace)
    if lies_in(place, made) or lies_in(made, place):
        raise SettingsError(
            f"location: {location} and the workspace {workspace} lie in each other. What is made "
            "of drops would be taken for drops; choose another --workspace."
        )


def find_drops(location: str, s3: S3Settings) -> Found:
    """Return what lies at the location. Raises InputError if it cannot be looked at."""
    if is_address(location):
        drops, warnings, now = find_prefixes(location, s3)
        return Found(tuple(drops), now, tuple(warnings), {})
    names, warnings = folder_names(location)
    drops, failures = [], {}
    for name in names:
        try:
            drops.append(look_at_folder(location, name))
        except InputError as error:
            failures[name] = error
    return Found(tuple(drops), time.time(), tuple(warnings), failures)


def look_at(location: str, name: str, s3: S3Settings) -> Drop:
    """Return a drop as it is now. Raises InputError if it cannot be looked at."""
    if is_address(location):
        return look_at_prefix(location, name, s3)
    return look_at_folder(location, name)


def _resolved(place: str) -> str:
    return place if is_address(place) else str(Path(place).resolve())
