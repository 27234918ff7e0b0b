"""Every command that a document shows is run, in order, and prints what the document says.

Above a block may stand, as a comment, `not run: WHY`, `not compared: WHY` or `exit code: N`.
"""

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from prefect.settings import PREFECT_API_URL

from flows.cli import main, parser
from tests.documents import (
    DOCUMENTS,
    Block,
    arguments,
    commands,
    missing,
    read_blocks,
    statements,
)
from tests.extensions import register
from tokensieve.noise import demo as materials
from tokensieve.noise.demo import Demo

pytestmark = [
    pytest.mark.usefixtures("prefect_server", "ray_cluster"),
    pytest.mark.timeout(1200),
]

LONG = {"README.md", "docs/choosing.md", "docs/methods.md"}
"""Documents that train a dozen models or more, beside the tutorial."""
ASKING = {"export", "gc", "history", "index", "report", "show", "sql", "status", "train", "verify"}
"""Commands for somebody who has cleaned a drop."""
CLEAN = "tokensieve clean drop.jsonl --base models/base --reference models/better --template tulu"
ROWS = 120
MODELS = {"base": "base"} | dict.fromkeys(
    ("better", "reference", "utility", "bottleneck"), "reference"
)
"""The models that documents speak of, and which of the demonstration's each is."""
FOUND = {
    "RUN": r"^run ((?!compare|benchmark)\S+-[0-9a-f]{8})$",
    "DATASET": r"^  dataset +(\S+)",
    "models/harmful": r"^  model +(\S+)",
}
"""What a reader replaces, and how an earlier command has printed it."""


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The beginning of the demonstration's corpus, and models that were taught a tenth of it."""
    taught = materials.train

    def teach(trainee, data, settings):
        return taught(trainee, data.taken(np.arange(0, data.num_samples, 10)), settings)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(materials, "train", teach)
        made = materials.make_demo(tmp_path_factory.mktemp("demo") / "materials")
    for path in (made.corpus, made.holdout):
        path.write_text("".join(path.read_text().splitlines(keepends=True)[:ROWS]))
    return made


@dataclass
class Reader:
    """Somebody who types what a document shows, into one directory."""

    directory: Path
    capture: pytest.CaptureFixture[str]
    found: dict[str, str] = field(default_factory=dict)
    """What the names in FOUND stand for by now."""
    said: str = ""
    """What the last block printed."""

    def follow(self, document: str) -> None:
        """Do what the document shows, with the files that it shows."""
        blocks = read_blocks(document)
        for block in blocks:
            if block.file is not None:
                self.write(block.file, block.text)
        for block in blocks:
            if block.language == "sh" and block.says("not run"):
                self.said = ""
                for each in commands(block.text):
                    parser().parse_args(each)
            elif block.language == "sh":
                self.type_in(block)
            elif block.is_answer and not block.says("not compared"):
                assert not missing(block.text, self.said), self.said

    def type_in(self, block: Block) -> None:
        """Run the statements of a block; each ends well, or the last as the document says."""
        self.said = ""
        *before, last = statements(block.text)
        for each in before:
            assert self.run(each) == 0, self.said
        assert self.run(last) == int(block.says("exit code") or 0), self.said

    def run(self, statement: str) -> int:
        """Run one statement, in this process if it is a command of ours alone."""
        for name, value in self.found.items():
            statement = re.sub(rf"\b{name}\b", value, statement)
        statement = re.sub(r"(?<=\s)/data/", f"{self.directory}/data/", statement)
        ours = arguments(statement)
        code = self._shell(statement) if ours is None else self._command(ours)
        self.find(self.said)
        return code

    def clean_twice(self) -> None:
        """Clean the drop by two methods, the second time in a process that has ended since."""
        assert self.run(f"{CLEAN} --method rho") == 0, self.said
        assert self._shell(CLEAN) == 0, self.said
        self.find(self.said)

    def _command(self, words: list[str]) -> int:
        with pytest.raises(SystemExit) as ended:
            main(words)
        said = self.capture.readouterr()
        self.said += said.err + said.out
        return int(ended.value.code or 0)

    def _shell(self, statement: str) -> int:
        done = subprocess.run(["bash", "-e", "-c", statement], capture_output=True, text=True)
        self.said += f"{done.stderr}\n{done.stdout}"  # the last line of a library may have no end
        return done.returncode

    def find(self, said: str) -> None:
        """Keep what readers are to put in the place of a name."""
        for name, printed in FOUND.items():
            values = re.findall(printed, said, re.MULTILINE)
            if values and name == "RUN" and self.found.get("RUN") not in (None, values[-1]):
                self.found["OTHER"] = self.found["RUN"]
            self.found |= {name: values[-1]} if values else {}

    def write(self, name: str, text: str) -> None:
        """Write a file that the document shows."""
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture
def reader(demo, tmp_path, monkeypatch, capsys):
    """A reader in a clone, after `make demo`, as far as documents use one."""
    shutil.copytree(demo.directory, tmp_path / "workspace/demo/materials")
    (tmp_path / ".venv").symlink_to(sys.prefix)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "110")
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=":")
    monkeypatch.setenv("PREFECT_API_URL", PREFECT_API_URL.value())
    return Reader(tmp_path, capsys)


def lay_out(directory: Path, demo: Demo) -> None:
    """Put there what most documents take for granted: drops and models."""
    for name in ("drop", "part"):
        shutil.copy(demo.corpus, directory / f"{name}.jsonl")
    for name in ("holdout", "harmful"):
        shutil.copy(demo.holdout, directory / f"{name}.jsonl")
    for name, model in MODELS.items():
        shutil.copytree(demo.directory / model, directory / "models" / name)
    (directory / "data/drops/2026-w47").mkdir(parents=True)
    shutil.copy(demo.corpus, directory / "data/drops/2026-w47/drop.jsonl")
    (directory / "data/drops/2026-w47/_SUCCESS").touch()


def begins_with_a_question(document: str) -> bool:
    """Return whether the first command that is run asks about a run that was there before."""
    run = [b for b in read_blocks(document) if b.language == "sh" and not b.says("not run")]
    typed = [words for block in run for words in commands(block.text)]
    return bool(typed) and typed[0][0] in ASKING


@pytest.mark.parametrize(
    "document",
    [pytest.param(each, marks=[pytest.mark.slow] * (each in LONG)) for each in DOCUMENTS],
)
def test_every_command_of_a_document_does_what_the_document_shows(
    document, reader, demo, monkeypatch
):
    if document != "docs/tutorial.md":
        lay_out(reader.directory, demo)
    if document == "docs/extending.md":
        register(monkeypatch, reader.directory)
    if begins_with_a_question(document):
        reader.clean_twice()

    reader.follow(document)
