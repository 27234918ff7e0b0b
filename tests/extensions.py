"""The files that docs/extending.md adds to the project, in their places for one test."""

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest

from tests.documents import read_blocks
from tokensieve.ingest.formats import TABLES
from tokensieve.ingest.opening import KINDS
from tokensieve.methods import METHODS


def register(patch: pytest.MonkeyPatch, directory: Path) -> None:
    """Put the document's method and format of files into the lists that it names; their files are
    written below the directory.
    """
    method = _module(patch, directory, "tokensieve/methods/slips.py")
    format = _module(patch, directory, "tokensieve/ingest/orc.py")
    patch.setitem(METHODS, "slips", method.SLIPS)
    patch.setitem(KINDS, b"ORC", "orc")
    patch.setitem(TABLES, "orc", format.open_orc)


def _module(patch: pytest.MonkeyPatch, directory: Path, file: str) -> Any:
    [text] = [each.text for each in read_blocks("docs/extending.md") if each.file == file]
    path = directory / file
    path.parent.mkdir(parents=True)
    path.write_text(text)
    name = file.removesuffix(".py").replace("/", ".")
    spec = spec_from_file_location(name, path)
    module = module_from_spec(spec)
    patch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    return module
