"""What can go wrong, by whose turn it is to act. The exit code is the process's.

TokensieveError
├── SettingsError     2  a flag, a config key or a combination of them
├── InputError        3  a file, a dataset or a model directory that cannot be used
├── QuarantineError   4  more bad rows than the user allowed
├── ConflictError     5  another writer put something else under the same name
├── ResourceError     6  disk, memory or a limit of this machine
├── DamagedError      7  a file of ours is missing or not what was published
└── ServiceError      8  Ray, Prefect or a store does not answer

They cross process boundaries, so they are built from one message only and stay picklable.
"""

import re

_USERINFO = re.compile(r"(?<=://)\S*@")
_QUERY = re.compile(r"(://[^\s?]*)\?\S*")


class TokensieveError(Exception):
    """Base of every error whose message is written for the user."""

    exit_code = 1


class SettingsError(TokensieveError, ValueError):
    """A setting is wrong; nothing was started."""

    exit_code = 2


class InputError(TokensieveError, ValueError):
    """An input cannot be used as it is; nothing was scored."""

    exit_code = 3


class QuarantineError(TokensieveError):
    """More rows were quarantined than the run allows."""

    exit_code = 4


class ConflictError(TokensieveError):
    """Something else already stands under a name this run wants to create."""

    exit_code = 5


class ResourceError(TokensieveError):
    """The machine ran out of something: disk, memory, time for a query."""

    exit_code = 6


class DamagedError(TokensieveError):
    """A published file is missing or its content changed."""

    exit_code = 7


class ServiceError(TokensieveError):
    """A service the run depends on does not answer."""

    exit_code = 8


def shortened(value: object, limit: int = 60) -> str:
    """Return `value` as a message may show it: printable, on one line, at most `limit` long.

    Addresses are without what may be a secret: userinfo and a query.
    """
    public = _QUERY.sub(r"\1?***", _USERINFO.sub("***@", str(value)))
    text = repr(public) if isinstance(value, str) else public
    text = text.encode("ascii", "backslashreplace").decode("ascii")
    text = "".join(ch if ch.isprintable() else repr(ch)[1:-1] for ch in text)
    return text if len(text) <= limit else text[: limit - 3] + "..."
