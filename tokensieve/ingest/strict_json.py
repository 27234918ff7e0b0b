"""Strict JSON: one object per line, and nothing that two parsers could read in two ways.

The standard parser takes NaN, infinities, duplicate keys, lone surrogates and bytes that are no
UTF-8; each of them is refused here. What is rare is looked for only where a line could hold it, so
an ordinary line costs little more than the parser itself.
"""

import json
import math
import re
from collections.abc import Iterator
from typing import Any, NoReturn

from tokensieve.errors import shortened
from tokensieve.ingest.records import RowProblem

MAX_DEPTH = 64

_SURROGATE = re.compile("[\ud800-\udfff]")
_LITERALS = ("true", "false", "null", "-")


def parse_object(raw: bytes) -> dict[str, Any]:
    """Return the one JSON object in `raw`; raise RowProblem saying what is wrong, and where."""
    value = _parsed(_decoded(raw))
    if not isinstance(value, dict):
        raise RowProblem("not_an_object", f"the line holds {shortened(value)}, not an object")
    if raw.count(b"{") + raw.count(b"[") > MAX_DEPTH:
        _check_depth(value)
    if b"\\ud" in raw or b"\\uD" in raw:
        _check_surrogates(value)
    return value


def _decoded(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        found = raw[error.start : error.start + 4].hex(" ")
        detail = f"byte {error.start + 1} of the line is no UTF-8 ({found})"
        raise RowProblem("bad_utf8", detail) from None


def _parsed(text: str) -> Any:
    try:
        return _DECODER.decode(text)
    except RowProblem:  # from a hook; it is a ValueError too
        raise
    except json.JSONDecodeError as error:
        raise _syntax_problem(error) from None
    except RecursionError:
        raise _too_deep() from None
    except ValueError as error:  # int() refuses thousands of digits
        raise RowProblem("number_too_long", shortened(error)) from None


def _syntax_problem(error: json.JSONDecodeError) -> RowProblem:
    rest = error.doc[error.pos :].strip()
    if error.msg == "Extra data" and rest[:1] in ("{", "["):
        return RowProblem("two_values_on_line", f"a second value begins at column {error.colno}")
    detail = f"{error.msg} at column {error.colno}: {shortened(rest[:40])}"
    return RowProblem("json_truncated" if _is_cut(error, rest) else "json_syntax", detail)


def _is_cut(error: json.JSONDecodeError, rest: str) -> bool:
    """Return whether the text could have gone on where it ends."""
    if error.msg.startswith("Unterminated string"):
        return True
    if error.msg.startswith("Invalid \\u"):
        return len(rest) < len("uXXXX")
    return any(literal.startswith(rest) for literal in _LITERALS)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        names = [name for name, _ in pairs]
        name = next(name for name in names if names.count(name) > 1)
        raise RowProblem("duplicate_key", "stands twice in one object", shortened(name))
    return value


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        _refuse_constant(text)
    return value


def _refuse_constant(text: str) -> NoReturn:
    raise RowProblem("non_finite_number", f"{shortened(text)} is no JSON number")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_float=_finite, parse_constant=_refuse_constant
)


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [child for each in level for _, child in _children(each)]
    if any(isinstance(each, dict | list) for each in level):
        raise _too_deep()


def _too_deep() -> RowProblem:
    return RowProblem("too_deep", f"lists and objects are nested deeper than {MAX_DEPTH}")


def _check_surrogates(value: Any, path: str = "") -> None:
    """Raise RowProblem if a string holds half a character; call only where the depth is checked."""
    if isinstance(value, str) and (found := _SURROGATE.search(value)):
        detail = f"\\u{ord(found[0]):04x} is half of a pair"
        raise RowProblem("lone_surrogate", detail, path)
    for name, child in _children(value):
        if isinstance(name, str):
            _check_surrogates(name, path)
        _check_surrogates(child, _joined(path, name))


def _children(value: Any) -> Iterator[tuple[str | int, Any]]:
    if isinstance(value, dict):
        return iter(value.items())
    return iter(enumerate(value) if isinstance(value, list) else ())


def _joined(path: str, name: str | int) -> str:
    if isinstance(name, int):
        return f"{path}[{name}]"
    name = name if name.isidentifier() else shortened(name)
    return f"{path}.{name}" if path else name
