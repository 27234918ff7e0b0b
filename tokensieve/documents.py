"""The small JSON documents of a workspace: one way to write them, sealed with their own hash.

    {"content":{…},"sha256":"…"}      sha256 of the bytes of the content

So any change is found from the bytes alone, however long the document is.
"""

import gc
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from tokensieve.errors import DamagedError
from tokensieve.storage import sha256_hex

Document = Mapping[str, Any]
Documented = TypeVar("Documented", bound=BaseModel)

_NUM_BEFORE = len('{"content":')
_NUM_AFTER = len(',"sha256":""}\n') + 64


def canonical_json(document: Document) -> bytes:
    """Return the one JSON text of `document`: sorted keys, no spaces, no NaN, a final line end."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return text.encode() + b"\n"


def content_id(document: Document) -> str:
    """Return 16 hex digits that name `document` by its content."""
    return sha256_hex(canonical_json(document))[:16]


def sealed_json(document: BaseModel) -> bytes:
    """Return `document` as it is published: its canonical JSON and the hash of that."""
    return _sealed(canonical_json(document.model_dump())[:-1])


def parsed(model: type[Documented], data: bytes, where: str) -> Documented:
    """Return the content of a sealed document; raise DamagedError naming file and field.

    It is parsed once and not written again: a commit of many shards is long, and read often.
    """
    content = data[_NUM_BEFORE:-_NUM_AFTER]
    if data != _sealed(content):
        raise DamagedError(
            f"{where}: sha256: is not that of the content. The file was edited or damaged; bring "
            "the original back, or move it and the artifact's COMMIT.json away and run the same "
            "command again."
        )
    try:
        with _without_collection():
            return model.model_validate_json(content, strict=True)
    except ValidationError as error:
        problem = error.errors()[0]
        field = ".".join(str(part) for part in problem["loc"]) or "the whole file"
        raise DamagedError(
            f"{where}: {field}: {problem['msg']}. Another version of tokensieve wrote it; use "
            "that one, or another workspace."
        ) from None


def _sealed(content: bytes) -> bytes:
    return b'{"content":%b,"sha256":"%b"}\n' % (content, sha256_hex(content).encode())


@contextmanager
def _without_collection() -> Iterator[None]:
    """Let no garbage be searched for meanwhile: it took most of the time a long commit took."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
