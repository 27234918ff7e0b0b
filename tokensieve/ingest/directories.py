"""What the arguments of a run name: files, folders, `datasets` directories, S3, the Hub."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokensieve.errors import InputError, shortened
from tokensieve.ingest.arrow_stream import open_arrow
from tokensieve.ingest.opening import Place, reading
from tokensieve.objects import find_object, list_objects
from tokensieve.settings.groups import S3Settings
from tokensieve.settings.runs import HUB

_S3 = "s3://"
_FILE_SUFFIXES = (".jsonl", ".jsonl.gz", ".jsonl.zst", ".parquet")
_DATASET_FILES = {"dataset_dict.json", "state.json", "dataset_info.json"}
SUCCESS = "_SUCCESS"
"""A file that others write when all the rest of a folder is written."""


@dataclass(frozen=True)
class FoundFile:
    """One file that an argument names."""

    path: Place
    source: str
    """What its samples are said to come from if they do not say so themselves."""
    is_stream: bool = False
    """Whether it is an Arrow stream of a `datasets` directory; else its first bytes tell."""


def find_files(
    arguments: Sequence[str], split: str, s3: S3Settings
) -> tuple[list[FoundFile], list[str]]:
    """Return the files that the arguments name, in order, and warnings.

    `split` is chosen from datasets that have several; `s3` says how s3:// addresses are reached.
    Raises InputError for an argument that names nothing, or what is not accepted.
    """
    files: list[FoundFile] = []
    warnings: list[str] = []
    for argument in arguments:
        if argument.startswith(HUB):
            files += _download(argument, split)
        elif argument.startswith(_S3):
            files += _find_objects(argument, s3, warnings)
        elif "://" in argument:
            raise InputError(
                f"{shortened(argument, 200)}: only paths, {_S3}bucket/key and {HUB}name are read. "
                "Copy it here."
            )
        else:
            with reading(argument):
                files += _find_local(Path(argument), split, warnings)
    for file in files:
        if not str(file.path).isprintable():  # no message could show it, nor be published
            raise InputError(
                f"{shortened(str(file.path), 300)}: has odd characters in it. Rename it."
            )
    return files, warnings


def one_file(argument: str, s3: S3Settings) -> Place:
    """Return where the one file lies that an argument names; InputError if it is no object on S3.

    Of a path nothing is looked at: opening it says what is wrong.
    """
    if not argument.startswith(_S3):
        return argument
    found = find_object(argument, s3)
    if found is None:
        raise InputError(f"{argument}: there is no such object. Check the address.")
    return found


def _find_local(path: Path, split: str, warnings: list[str]) -> list[FoundFile]:
    if not path.is_dir():
        _check_exists(path, f"Check the path; for a dataset of the Hub write {HUB}NAME")
        return [_ordinary(str(path))]
    if (path / "dataset_dict.json").exists():
        return _dataset_files(_split_directory(path, split), source=path.resolve().name)
    if (path / "state.json").exists() or (path / "dataset_info.json").exists():
        return _dataset_files(path, source=path.resolve().name)
    return _files_of_folder(path, warnings)


def _ordinary(path: Place) -> FoundFile:
    name = Path(str(path)).name.removesuffix(".gz").removesuffix(".zst")
    return FoundFile(path, source=Path(name).stem)


def _check_exists(path: Path, advice: str) -> None:
    if path.exists():
        return
    if path.is_symlink():
        target = shortened(path.readlink(), 200)
        raise InputError(f"{path}: is a dangling link: {target} is gone. Copy the data again.")
    raise InputError(f"{path}: there is no such file or directory. {advice}.")


def _check_inside(path: Path, folder: Path) -> None:
    """Raise InputError for a link out of a folder: whoever wrote that may not read all we can."""
    if not path.resolve().is_relative_to(folder.resolve()):
        raise InputError(
            f"{path}: is a link out of its folder. Copy the file there, or name it itself."
        )


def _files_of_folder(folder: Path, warnings: list[str]) -> list[FoundFile]:
    """Return the files of a plain folder, by name; warn of what else lies there."""
    with reading(str(folder)):
        visible = {path for path in folder.iterdir() if not path.name.startswith(".")}
    paths = {path for path in visible if path.name.endswith(_FILE_SUFFIXES)}
    _look_at_others(str(folder), len(paths), [path.name for path in visible - paths], warnings)
    for path in paths:
        _check_exists(path, "It was here a moment ago")
        _check_inside(path, folder)
    return [_ordinary(str(path)) for path in sorted(paths)]


def _look_at_others(folder: str, num_files: int, names: list[str], warnings: list[str]) -> None:
    """Warn of what else lies in a folder; InputError if there is nothing to be read."""
    if not num_files:
        raise InputError(
            f"{folder}: holds no file named *{', *'.join(_FILE_SUFFIXES)}, and is no directory "
            "that `save_to_disk` made. Name the files themselves."
        )
    if others := sorted(name for name in names if name != SUCCESS):
        told = shortened(", ".join(others), 200)
        warnings.append(f"{folder}: {len(others)} other entries are not read: {told}")


def _find_objects(address: str, s3: S3Settings, warnings: list[str]) -> list[FoundFile]:
    """Return the object at an address, or the files directly below it, by name."""
    found = find_object(address, s3)
    if found is not None:
        return [_ordinary(found)]
    listing = list_objects(address, s3, into_folders=False)
    visible = {each.name: each for each in listing.files if not each.name.startswith(".")}
    if not visible and not listing.folders:
        raise InputError(f"{address}: there is no such object, and nothing lies below it.")
    if _DATASET_FILES & visible.keys():
        raise InputError(
            f"{address}: is a `datasets` directory; on S3 they are not read. Copy it here, or "
            "write it as Parquet."
        )
    files = [each for name, each in visible.items() if name.endswith(_FILE_SUFFIXES)]
    others = [name for name in visible if not name.endswith(_FILE_SUFFIXES)]
    others += [name for name in listing.folders if not name.startswith(".")]
    _look_at_others(address, len(files), others, warnings)
    return [_ordinary(each) for each in files]


def _split_directory(directory: Path, split: str) -> Path:
    """Return where the split of a DatasetDict lies."""
    splits = _read_json(directory / "dataset_dict.json").get("splits")
    if not isinstance(splits, list):
        raise InputError(f"{directory}/dataset_dict.json: splits: is no list. Copy it again.")
    if split not in splits:
        names = shortened(", ".join(map(str, splits)), 200)
        raise InputError(
            f"{directory}: has no split {shortened(split)}, but {names}. Choose one with --split."
        )
    _refuse_code(directory)
    return directory / split


def _dataset_files(directory: Path, source: str) -> list[FoundFile]:
    """Return the Arrow files of a Dataset; InputError if it is damaged or holds code."""
    _refuse_code(directory)
    state = _read_json(directory / "state.json")
    entries = state.get("_data_files")
    entries = entries if isinstance(entries, list) else []
    names = [entry.get("filename") for entry in entries if isinstance(entry, dict)]
    paths = [directory / str(name) for name in names]
    if not paths or len(paths) != len(entries) or any(path.parent != directory for path in paths):
        raise InputError(f"{directory}/state.json: _data_files: names no files of this directory.")
    for path in paths:
        _check_exists(path, "Copy the directory again")
        _check_inside(path, directory)
        _check_features(directory, path)
    return [FoundFile(str(path), source, is_stream=True) for path in paths]


def _check_features(directory: Path, path: Path) -> None:
    """Raise InputError if the data have other columns than the dataset declares."""
    from datasets import Features  # here, as it takes half a second

    declared = _read_json(directory / "dataset_info.json").get("features")
    if declared is None:
        return
    try:
        wanted = Features.from_dict(declared).arrow_schema
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{directory}/dataset_info.json: features: are none ({shortened(error)}). "
            "Save the dataset again."
        ) from None
    found = open_arrow(str(path)).schema
    types = [{each.name: each.type for each in schema} for schema in (wanted, found)]
    for name in sorted({*types[0], *types[1]}):
        declared_type, found_type = (each.get(name, "absent") for each in types)
        if declared_type != found_type:
            raise InputError(
                f"{path}: column {shortened(name)} is {shortened(declared_type, 200)} by "
                f"dataset_info.json, but {shortened(found_type, 200)} in the file. "
                "Save the dataset again."
            )


def _refuse_code(directory: Path) -> None:
    if code := sorted(directory.glob("*.py")):
        raise InputError(
            f"{directory}: contains code ({shortened(code[0].name)}), which is never run. "
            "Give a directory that `save_to_disk` made, and nothing else."
        )


def _read_json(path: Path) -> dict[str, Any]:
    with reading(str(path)):
        data = path.read_bytes()
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: is no JSON ({shortened(error)}). Copy it again.") from None
    if not isinstance(value, dict):
        raise InputError(f"{path}: is no JSON object. Copy it again.")
    return value


def _download(argument: str, split: str) -> list[FoundFile]:
    """Return the Arrow files of a dataset of the Hub, in the local cache of `datasets`."""
    from datasets import load_dataset

    name, _, config = argument.removeprefix(HUB).partition(":")
    try:
        dataset = load_dataset(name, config or None, split=split)
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(
            f"{argument}: could not be loaded: {shortened(error, 300)}. Without a network, "
            "download it first and give its directory."
        ) from None
    paths = [each["filename"] for each in dataset.cache_files]
    return [FoundFile(path, source=name, is_stream=True) for path in paths]
