"""Column types: what a column may hold, and whether two files agree on it."""

from collections.abc import Callable

import pyarrow as pa
import pyarrow.types as types

from tokensieve.errors import InputError, shortened
from tokensieve.ingest.opening import Place

NOTHING = "nothing"
"""What a column of nulls holds; it agrees with every kind."""

_Fits = Callable[[pa.DataType], bool]


def kind_of_column(path: Place, name: str, type: pa.DataType) -> str:
    """Return in words what column `name` holds.

    Types that differ only in width or encoding are the same kind. Raises InputError for a type
    that the column cannot have.
    """
    if types.is_null(type):
        return NOTHING
    for kind in _WANTED[name]:
        if _FITS[kind](type):
            return kind
    wanted = " or ".join(_WANTED[name])
    raise InputError(
        f"{path}: column {name} must hold {wanted}, but is of type {shortened(type, 200)}. "
        "Convert it before."
    )


def _is_string(type: pa.DataType) -> bool:
    if types.is_dictionary(type):
        type = type.value_type
    return bool(types.is_string(type) or types.is_large_string(type) or types.is_string_view(type))


def _is_list_of(fits: _Fits) -> _Fits:
    def check(type: pa.DataType) -> bool:
        is_list = types.is_list(type) or types.is_large_list(type) or types.is_fixed_size_list(type)
        return bool(is_list and (types.is_null(type.value_type) or fits(type.value_type)))

    return check


def _is_struct_with(*keys: str) -> _Fits:
    def check(type: pa.DataType) -> bool:
        if not types.is_struct(type):
            return False
        found = {each.name: each.type for each in type}
        return all(key in found and _is_string(found[key]) for key in keys)

    return check


_FITS: dict[str, _Fits] = {
    "strings": _is_string,
    "integers": types.is_integer,
    "lists of integers": _is_list_of(types.is_integer),
    "lists of {role, content}": _is_list_of(_is_struct_with("role", "content")),
    "lists of {from, value}": _is_list_of(_is_struct_with("from", "value")),
}

_WANTED: dict[str, tuple[str, ...]] = {
    "id": ("strings", "integers"),
    "sample_id": ("strings", "integers"),
    "source": ("strings",),
    "dataset": ("strings",),
    "prompt": ("strings",),
    "completion": ("strings",),
    "instruction": ("strings",),
    "input": ("strings",),
    "output": ("strings",),
    "input_ids": ("lists of integers",),
    "labels": ("lists of integers",),
    "messages": ("lists of {role, content}",),
    "conversations": ("lists of {from, value}",),
}
