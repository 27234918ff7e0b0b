"""Which place an address names."""

from pathlib import Path

from tokensieve.addresses import is_address, workspace_address
from tokensieve.errors import SettingsError, shortened
from tokensieve.settings.groups import S3Settings
from tokensieve.storage.local import LocalStorage
from tokensieve.storage.protocol import Storage


def open_storage(workspace: str, s3: S3Settings) -> Storage:
    """Return the place of a workspace: a directory, or `s3://bucket/prefix` reached as `s3` says.

    Nothing is looked at. Raises SettingsError for an address that cannot be one.
    """
    if not is_address(workspace):
        return LocalStorage(Path(workspace).expanduser().absolute())
    from tokensieve.storage.s3 import open_s3  # a second of imports that a directory does not need

    try:
        return open_s3(workspace_address(workspace), s3)
    except SettingsError as error:
        raise SettingsError(f"{shortened(workspace)}: {error}") from None
