"""The documents as a reader meets them: fenced blocks in order, and what is said of each."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = ["README.md", *(f"docs/{each.name}" for each in sorted((ROOT / "docs").glob("*.md")))]

_BLOCK = re.compile(
    r"(?:^<!-- (?P<note>[^>]*) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_FILE = re.compile(r"(?:#|--) ([\w./-]+\.(?:py|toml|sql))\n")
_LOOP = re.compile(r"^(?:for|until|while|if) ", re.MULTILINE)
_VARYING = re.compile(
    r"-?\b[0-9a-f]{8,64}\b|[-+]?\d[\d,.:]*(?:e[-+]\d+)?(?: (?:s|min|h|[kMGT]i?B)\b)?"
)
"""An id, or a figure with what it may be counted in."""
_JOINS = {"|", ">", ">>", "<", "&", "&&", "||", ";"}


@dataclass(frozen=True)
class Block:
    """What stands between two fences."""

    language: str
    text: str
    note: str
    """The comment on the line above, such as `not run: it needs a container engine`."""
    follows: bool
    """Whether nothing parts it from the block before."""

    def says(self, what: str) -> str | None:
        """Return what the comment says after `what: `, or None if it is about something else."""
        found = re.fullmatch(f"{what}: (.+)", self.note, re.DOTALL)
        return found[1] if found else None

    @property
    def is_answer(self) -> bool:
        """Return whether it shows what the block before it prints."""
        return self.follows and self.language == ""

    @property
    def file(self) -> str | None:
        """Return the name of the file that it shows, from its first line."""
        found = _FILE.match(self.text)
        return found[1] if found else None


def read_blocks(document: str) -> list[Block]:
    """Return the fenced blocks of a document, in order."""
    text = (ROOT / document).read_text("utf-8")
    blocks: list[Block] = []
    end = 0
    for found in _BLOCK.finditer(text):
        follows = bool(blocks) and not text[end : found.start()].strip()
        blocks.append(Block(found["language"], found["text"], found["note"] or "", follows))
        end = found.end()
    return blocks


def statements(text: str) -> list[str]:
    """Return the shell statements of a block; one with a loop is one as a whole."""
    return [text] if _LOOP.search(text) else _logical_lines(text)


def arguments(statement: str) -> list[str] | None:
    """Return the arguments of a plain `tokensieve` command; None of what needs a shell."""
    words = [] if _LOOP.search(statement) else shlex.split(statement, comments=True)
    return words[1:] if words[:1] == ["tokensieve"] and not _JOINS & set(words) else None


def commands(text: str) -> list[list[str]]:
    """Return the arguments of every `tokensieve` command, in loops and before pipes too."""
    lines = [shlex.split(line, comments=True) for line in _logical_lines(text)]
    return [words[1 : _end(words)] for words in lines if words[:1] == ["tokensieve"]]


def _logical_lines(text: str) -> list[str]:
    """Return the lines that say something, joined where a quotation or a `\\` spans several."""
    found, begun = [], ""
    for line in text.replace("\\\n", " ").splitlines():
        begun += f"{line.strip()}\n"
        try:
            words = shlex.split(begun, comments=True)
        except ValueError:
            continue  # the quotation goes on
        found += [begun] if words else []
        begun = ""
    assert not begun, f"a quotation does not end: {begun}"
    return found


def _end(words: list[str]) -> int:
    return next((n for n, word in enumerate(words) if word in _JOINS), len(words))


def missing(shown: str, said: str) -> list[str]:
    """Return the lines that a document shows and no command has printed.

    Figures, ids and the order of rows, which is that of figures, may differ; `…` stands for
    whatever there is.
    """
    printed = [_stable(line) for line in said.splitlines()]
    return [
        line
        for line in map(_stable, shown.splitlines())
        if not any(re.fullmatch(_pattern(line), each) for each in printed)
    ]


def _stable(line: str) -> str:
    """Return what of a line is the same on every machine and for every corpus."""
    return re.sub(r"\s+", " ", _VARYING.sub("0", line)).strip()


def _pattern(line: str) -> str:
    return ".*".join(map(re.escape, line.split("…")))
