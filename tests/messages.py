"""What the project's errors say: the text of each, with `…` where a value stands."""

import ast
from dataclasses import dataclass
from functools import cache
from typing import TypeGuard

from tests.documents import ROOT
from tokensieve import errors
from tokensieve.ingest import NoRowsError

LAYERS = ("flows", "tasks", "ray_cluster", "sql", "tokensieve")
ERRORS = {"NoRowsError": NoRowsError} | vars(errors)
EXIT_CODES = {
    name: each.exit_code
    for name, each in ERRORS.items()
    if isinstance(each, type) and issubclass(each, errors.TokensieveError)
}


@dataclass(frozen=True)
class Message:
    """What one error says, and how the process ends with it."""

    text: str
    exit_code: int


@cache
def all_messages() -> tuple[Message, ...]:
    """Return the message of every error that the code makes, as far as it is written there."""
    return tuple(
        Message(_text(call.args[0]), EXIT_CODES[name])
        for name, call in _calls()
        if name in EXIT_CODES
    )


@cache
def row_problems() -> frozenset[str]:
    """Return the reasons for which a row becomes no sample."""
    firsts = (call.args[0] for name, call in _calls() if name == "RowProblem")
    texts = (each.value for first in firsts for each in ast.walk(first) if _is_text(each))
    return frozenset(texts)


@cache
def _calls() -> tuple[tuple[str, ast.Call], ...]:
    """Return every call of the code that has a plain name and an argument, with the name."""
    files = [path for layer in LAYERS for path in sorted((ROOT / layer).rglob("*.py"))]
    nodes = (node for path in files for node in ast.walk(ast.parse(path.read_text("utf-8"))))
    return tuple(
        (node.func.id, node)
        for node in nodes
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args
    )


def _text(node: ast.expr) -> str:
    """Return the text of a string, an f-string or a sum of them."""
    if _is_text(node):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(map(_text, node.values))
    if isinstance(node, ast.BinOp):
        return _text(node.left) + _text(node.right)
    return "…"


def _is_text(node: ast.AST) -> TypeGuard[ast.Constant]:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)
