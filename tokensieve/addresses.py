"""What an address of a store may look like, checked before anything is sent.

No message repeats an address that may hold a secret: userinfo, or a signature in a query.
"""

import ipaddress
import re
import socket
from typing import NamedTuple
from urllib.parse import urlsplit

from tokensieve.errors import SettingsError

_BUCKET = re.compile(r"(?!.*\.\.)(?![\d.]+$)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_PREFIX_PART = re.compile(r"[A-Za-z0-9_=][A-Za-z0-9._=-]{0,127}")
_METADATA_HOSTS = {"metadata", "metadata.google.internal", "instance-data"}
_METADATA_NETWORKS = [
    ipaddress.ip_network(network) for network in ("169.254.0.0/16", "fe80::/10", "fd00:ec2::/32")
]


class S3Address(NamedTuple):
    """A place in a bucket; the prefix is without slashes at its ends, and empty for all of it."""

    bucket: str
    prefix: str

    def __str__(self) -> str:
        """Return the address as people write it."""
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")


def is_address(text: str) -> bool:
    """Return whether the text is meant as an address rather than as a path on this machine."""
    return "://" in text or text.lower().startswith("s3:")


def s3_address(text: str) -> S3Address:
    """Return the bucket and the prefix of `s3://bucket/prefix`; a slash at the end changes nothing.

    Raises SettingsError with the rule that is broken.
    """
    scheme, slashes, rest = text.partition("://")
    if scheme != "s3" or not slashes:
        raise SettingsError("is no s3:// address: it has to be of the form s3://bucket/prefix")
    if "@" in rest or "?" in rest:
        raise SettingsError(
            "holds an `@` or a `?`, and so perhaps a secret, which is not repeated here. "
            "Write s3://bucket/prefix, and put the credentials in the environment or in a profile"
        )
    bucket, _, prefix = rest.partition("/")
    if not _BUCKET.fullmatch(bucket):
        raise SettingsError(
            "has no name of a bucket after s3://: 3 to 63 lower-case letters, digits, `-` and `.`, "
            "no number"
        )
    prefix = prefix.removesuffix("/")
    if prefix and not all(map(_PREFIX_PART.fullmatch, prefix.split("/"))):
        raise SettingsError(
            "has a part between slashes that is empty, too long, or not of A-Z a-z 0-9 . _ = - "
            "with a letter, a digit, `_` or `=` first"
        )
    return S3Address(bucket, prefix)


def workspace_address(text: str) -> S3Address:
    """Return the bucket and the prefix of a workspace, which never takes a whole bucket.

    Raises SettingsError with the rule that is broken.
    """
    address = s3_address(text)
    if not address.prefix:
        raise SettingsError(
            f"takes a whole bucket. Write s3://{address.bucket}/NAME, so that everything of ours "
            "lies under one name"
        )
    if "=" in address.prefix:
        raise SettingsError("may not hold `=`, which DuckDB takes for a column")
    return address


def lies_in(inner: str, outer: str) -> bool:
    """Return whether an address is the other, or lies below it."""
    return f"{inner}/".startswith(f"{outer}/")


def check_endpoint(text: str) -> None:
    """Raise SettingsError unless the text is `http(s)://host[:port]` of what can be a store."""
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if "@" in text:
        raise SettingsError(
            "holds an `@`, and so perhaps a secret, which is not repeated here. Write "
            "https://host:port, and put the credentials in the environment or in a profile"
        )
    if not host or not re.fullmatch(r"https?://[^/?#\s]+/?", text):
        raise SettingsError("has to be of the form https://host:port or http://host:port")
    if host in _METADATA_HOSTS or _is_metadata(host):
        raise SettingsError("is where machines ask who they are, and never a store")


def _is_metadata(host: str) -> bool:
    """Return whether the host is a number, in any notation, that leads to a cloud's metadata."""
    try:
        address = ipaddress.ip_address(host if ":" in host else socket.inet_aton(host))
    except (OSError, ValueError):
        return False
    address = getattr(address, "ipv4_mapped", None) or address
    return any(address in network for network in _METADATA_NETWORKS)
