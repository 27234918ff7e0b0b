"""One strict, frozen tree of settings from a TOML file, from flags, or from both."""

import json
import tomllib
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from tokensieve.errors import SettingsError, shortened

DEPLOYMENTS = "deployments"
"""The table of a settings file that is for deployments, and that no command reads."""


class Settings(BaseModel):
    """Base of all settings: frozen, and strict about keys."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,  # Prefect shows pydantic's errors as they are
    )

    @classmethod
    def load(cls, config: Path | None, flags: dict[str, Any]) -> Self:
        """Return the settings of a TOML file with the given flags (nested, no None) laid over it.

        Relative paths in the file are relative to the file. Raises SettingsError.
        """
        values = read_toml(config) if config else {}
        values.pop(DEPLOYMENTS, None)
        return checked(cls, laid_over(cls.with_absolute_paths(values, config), flags))

    @classmethod
    def path_keys(cls) -> tuple[str, ...]:
        """Return the keys of the top table that hold paths, or lists of paths."""
        return ()

    @classmethod
    def with_absolute_paths(cls, values: dict[str, Any], config: Path | None) -> dict[str, Any]:
        """Return the settings of a file with its relative paths made absolute."""
        here = config.absolute().parent if config else None
        for key in cls.path_keys():
            values |= {key: _absolute_value(values[key], here)} if key in values else {}
        nested = (("corpus", "template", absolute_if_file), ("evaluation", "task_path", absolute))
        for name, key, made_absolute in nested:
            group = values.get(name)
            if isinstance(group, dict) and isinstance(group.get(key), str):
                group[key] = made_absolute(group[key], here)
        return values


AnySettings = TypeVar("AnySettings", bound=Settings)


def checked(model: type[AnySettings], values: dict[str, Any]) -> AnySettings:
    """Return `values` as settings; raise SettingsError naming every wrong key."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        problems = [_problem(model, e["loc"], e["msg"], e.get("input")) for e in error.errors()]
        raise SettingsError("\n".join(problems)) from None


def absolute(path: str, here: Path | None = None) -> str:
    """Return the path as workers can use it, who run in other directories; addresses stay."""
    return path if "://" in path else str((here or Path.cwd()) / Path(path).expanduser())


def absolute_if_file(template: str, here: Path | None = None) -> str:
    """Return the path of a template file; the name of a template stays."""
    path = (here or Path.cwd()) / template
    return str(path) if path.is_file() else template


def read_toml(path: Path) -> dict[str, Any]:
    """Return the tables of a settings file as they stand; SettingsError if it is no TOML."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{path}: cannot be read as TOML settings: {error}") from None


def _absolute_value(value: Any, here: Path | None) -> Any:
    """Return a path, or the paths of a list, made absolute; what is neither stays to be refused."""
    if isinstance(value, list):
        return [_absolute_value(each, here) for each in value]
    return absolute(value, here) if isinstance(value, str) else value


def laid_over(values: dict[str, Any], flags: dict[str, Any]) -> dict[str, Any]:
    """Return `values` with every flag that was given laid over it, key by key in nested tables."""
    merged = dict(values)
    for key, flag in flags.items():
        below = merged.get(key, {})
        if isinstance(flag, dict) and isinstance(below, dict):
            if given := laid_over(below, flag):
                merged[key] = given
        elif isinstance(flag, dict):
            continue  # the file has something else where a table belongs, and is told so
        elif flag is not None:
            merged[key] = flag
    return merged


def _problem(
    model: type[Settings], location: tuple[int | str, ...], message: str, value: object
) -> str:
    """Return one line for one wrong key, with the nearest right one if it is merely misspelt."""
    name = ".".join(str(part) for part in location)
    if message == "Field required":
        return f"{name}: is missing; give it on the command line or in the settings file"
    if message.startswith("Input should be a valid tuple") and isinstance(value, str):
        return f"{name}: is no list (got {shortened(value)}). Write {json.dumps(value.split(','))}."
    if not message.startswith("Extra inputs"):
        told = message.removeprefix("Value error, ")
        return ": ".join(filter(None, [name, f"{told} (got {shortened(value)})"]))
    fields: Any = model.model_fields
    for part in location[:-1]:
        fields = fields[part].annotation.model_fields
    near = get_close_matches(str(location[-1]), fields, n=1)
    hint = f"did you mean {near[0]}?" if near else f"known keys: {', '.join(fields)}"
    return f"{name}: unknown key; {hint}"
