"""Records: what a row says, whatever its shape."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, cast

from tokensieve.errors import shortened

Role = Literal["system", "user", "assistant"]

ID_FIELDS = ("id", "sample_id")
SOURCE_FIELDS = ("source", "dataset")

_ROLES = {"system": "system", "user": "user", "assistant": "assistant"}
_SHAREGPT_ROLES = _ROLES | {"human": "user", "gpt": "assistant"}
_MAX_TOKEN_ID = 2**31 - 1
_IGNORED_LABEL = -100


class RowProblem(ValueError):
    """Why one row becomes no sample. Its row is quarantined or skipped; the run goes on."""

    def __init__(
        self, reason: str, detail: str = "", field: str = "", outcome: str = "quarantined"
    ) -> None:
        """Keep the parts; all four are passed on, so that the error survives pickling."""
        super().__init__(reason, detail, field, outcome)
        self.reason = reason
        self.detail = detail
        self.field = field
        self.outcome = outcome


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation."""

    role: Role
    content: str
    context: str = ""
    """Alpaca's `input`: material that belongs to the instruction."""


@dataclass(frozen=True, slots=True)
class Record:
    """A conversation, or tokens with labels that are taken as they are."""

    id: str | None
    source: str | None
    messages: tuple[Message, ...] = ()
    tokens: tuple[list[int], list[int]] | None = None
    """(input_ids, labels) of a row that was tokenised elsewhere."""


@dataclass(frozen=True)
class Shape:
    """One of the forms that rows come in, known by its first required field."""

    required: tuple[str, ...]
    optional: tuple[str, ...]
    read: Callable[[dict[str, Any]], dict[str, Any]]
    """A row of this shape -> the keyword arguments of its Record."""

    @property
    def fields(self) -> frozenset[str]:
        """Return the fields that are read; others are ignored."""
        return frozenset(self.required + self.optional + ID_FIELDS + SOURCE_FIELDS)


def to_record(value: dict[str, Any]) -> Record:
    """Return what the row says; raise RowProblem naming the field that is wrong.

    A top-level field that is null counts as absent. Fields of no use to the shape are ignored.
    """
    fields = {name: each for name, each in value.items() if each is not None}
    shape = shape_of(fields)
    for name in shape.required:
        if name not in fields:
            raise RowProblem("missing_field", "this field is required", name)
    return Record(id=_id(fields), source=_source(fields), **shape.read(fields))


def num_ignored_fields(value: dict[str, Any]) -> int:
    """Return how many fields of a row that `to_record` accepts are not read."""
    return len(value.keys() - shape_of(value).fields)


def shape_of(fields: dict[str, Any]) -> Shape:
    """Return the row's shape: the first in SHAPES that it begins, else the first that it touches.

    `fields` may also be a table's column names with any values. Raises RowProblem.
    """
    present = {name for name, value in fields.items() if value is not None}
    for shape in SHAPES:
        if shape.required[0] in present:
            return shape
    for shape in SHAPES:
        if not present.isdisjoint(shape.required):
            return shape
    wanted = ", or ".join(" + ".join(shape.required) for shape in SHAPES)
    found = ", ".join(map(shortened, sorted(present)[:10])) or "none"
    raise RowProblem("missing_field", f"no known shape of row: wants {wanted}; found {found}")


def _messages(fields: dict[str, Any]) -> dict[str, Any]:
    return {"messages": _conversation(fields, "messages", ("role", "content"), _ROLES)}


def _sharegpt(fields: dict[str, Any]) -> dict[str, Any]:
    messages = _conversation(fields, "conversations", ("from", "value"), _SHAREGPT_ROLES)
    return {"messages": messages}


def _conversation(
    fields: dict[str, Any], name: str, keys: tuple[str, str], roles: dict[str, str]
) -> tuple[Message, ...]:
    """Return the messages of the list `name`, whose items have the given role and text keys."""
    messages = []
    for n, item in enumerate(_typed(fields[name], list, name)):
        where = f"{name}[{n}]"
        for key in keys:
            if key not in _typed(item, dict, where):
                raise RowProblem("missing_field", "this field is required", f"{where}.{key}")
        role, content = (_typed(item[key], str, f"{where}.{key}") for key in keys)
        if role not in roles:
            known = ", ".join(roles)
            raise RowProblem(
                "unknown_role", f"{shortened(role)} is none of {known}", f"{where}.{keys[0]}"
            )
        messages.append(Message(cast(Role, roles[role]), content))
    return tuple(messages)


def _completion(fields: dict[str, Any]) -> dict[str, Any]:
    return {"messages": (_said(fields, "user", "prompt"), _said(fields, "assistant", "completion"))}


def _alpaca(fields: dict[str, Any]) -> dict[str, Any]:
    context = _typed(fields.get("input", ""), str, "input")
    instruction = _typed(fields["instruction"], str, "instruction")
    asked = Message("user", instruction, context)
    return {"messages": (asked, _said(fields, "assistant", "output"))}


def _said(fields: dict[str, Any], role: Role, name: str) -> Message:
    return Message(role, _typed(fields[name], str, name))


def _tokens(fields: dict[str, Any]) -> dict[str, Any]:
    input_ids, labels = (_integers(fields[name], name) for name in ("input_ids", "labels"))
    if len(input_ids) != len(labels):
        detail = f"{len(labels)} labels for {len(input_ids)} input_ids"
        raise RowProblem("length_mismatch", detail, "labels")
    for n, (token, label) in enumerate(zip(input_ids, labels, strict=True)):
        if not 0 <= token <= _MAX_TOKEN_ID:
            detail = f"{shortened(token)} is no token id"
            raise RowProblem("token_out_of_vocabulary", detail, f"input_ids[{n}]")
        if label not in (token, _IGNORED_LABEL):
            detail = f"{shortened(label)} is neither -100 nor the token at its place, {token}"
            raise RowProblem("label_mismatch", detail, f"labels[{n}]")
    return {"tokens": (input_ids, labels)}


def _integers(value: Any, field: str) -> list[int]:
    values: list[int] = _typed(value, list, field)
    if not set(map(type, values)) <= {int}:  # type, not isinstance: true is no token id
        n = next(n for n, each in enumerate(values) if type(each) is not int)
        _typed(values[n], int, f"{field}[{n}]")
    return values


def _id(fields: dict[str, Any]) -> str | None:
    """Return the id as text; None if there is none, or an empty one."""
    name = next((name for name in ID_FIELDS if name in fields), None)
    if name is None:
        return None
    value = fields[name]
    if type(value) is int:
        if not -(2**63) <= value < 2**63:
            raise RowProblem("id_not_int64", f"{shortened(value)}: quote it as a string", name)
        return str(value)
    if "\0" in _typed(value, str, name):
        raise RowProblem("nul_in_id", "a NUL character cannot be part of an id", name)
    return value or None


def stated_source(value: dict[str, Any]) -> str | None:
    """Return the source that a row names, whatever is wrong with it; None if it names none."""
    try:
        return _source({name: each for name, each in value.items() if each is not None})
    except RowProblem:
        return None


def _source(fields: dict[str, Any]) -> str | None:
    name = next((name for name in SOURCE_FIELDS if name in fields), None)
    return (_typed(fields[name], str, name) or None) if name else None


def _typed(value: Any, wanted: type, field: str) -> Any:
    """Return `value` if its type is exactly `wanted`; raise RowProblem otherwise."""
    if type(value) is wanted:
        return value
    detail = f"is {_JSON_NAMES.get(type(value), 'a ' + type(value).__name__)} "
    raise RowProblem(
        "wrong_type", f"{detail}({shortened(value)}), not {_JSON_NAMES[wanted]}", field
    )


_JSON_NAMES: dict[type, str] = {
    str: "a string",
    int: "an integer",
    float: "a number with a fraction",
    bool: "a truth value",
    list: "a list",
    dict: "an object",
    type(None): "null",
}

SHAPES = (
    Shape(("input_ids", "labels"), (), _tokens),
    Shape(("messages",), (), _messages),
    Shape(("conversations",), (), _sharegpt),
    Shape(("prompt", "completion"), (), _completion),
    Shape(("instruction", "output"), ("input",), _alpaca),
)
"""Every shape of row, the most specific first."""
