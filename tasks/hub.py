"""Put an export on the Hugging Face hub, its data as it is and its card as the page.

The token is the one that the hub's own tools know: HF_TOKEN, or `hf auth login`.
"""

from collections.abc import Mapping
from typing import Any

from huggingface_hub import CommitOperationAdd, HfApi, constants
from huggingface_hub.errors import HFValidationError, HTTPError
from huggingface_hub.utils import validate_repo_id

from tokensieve.errors import ServiceError, SettingsError, shortened
from tokensieve.exports import Export


def check_pushable(export: Export, name: str) -> None:
    """Raise SettingsError unless the export is a table and the hub can be reached, as far as a look
    at the settings can tell.
    """
    if export.format.table is None:
        raise SettingsError(
            f"--push: the format {export.format.name} is no table that the hub shows. Push another."
        )
    try:
        validate_repo_id(name)
    except HFValidationError as error:
        raise SettingsError(f"--push: {shortened(name)} is no name on the hub: {error}") from None
    if constants.HF_HUB_OFFLINE:
        raise SettingsError(
            "--push: HF_HUB_OFFLINE is set, so the hub is not asked. Unset it, or leave --push out."
        )


def push(export: Export, card: Mapping[str, Any], name: str) -> str:
    """Return the address of the private dataset that the finished export now is, in one commit.

    Raises SettingsError if a public one has that name, ServiceError if the hub does not take it.
    """
    api = HfApi()
    try:
        api.create_repo(name, repo_type="dataset", private=True, exist_ok=True)
        if not api.dataset_info(name).private:
            raise SettingsError(
                f"--push: {name} is there and public. Give another name, or push the directory "
                "yourself."
            )
        files = export.uploads(card, name)
        operations = [CommitOperationAdd(path, content) for path, content in files.items()]
        api.create_commit(name, operations, repo_type="dataset", commit_message=export.id)
    except (HTTPError, OSError) as error:
        raise ServiceError(
            f"--push: the hub did not take {name}: {shortened(str(error), 200)}. The export stands "
            "where it is; log in (hf auth login), and run the same command again."
        ) from None
    return f"https://huggingface.co/datasets/{name}"
