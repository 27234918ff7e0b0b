"""Where a model lies, in words that every machine understands."""

from dataclasses import dataclass

from tokensieve.addresses import is_address
from tokensieve.models.fetching import fetched_model
from tokensieve.settings.groups import S3Settings


@dataclass(frozen=True)
class ModelPlace:
    """A directory, or an s3:// address and how to get there."""

    address: str
    s3: S3Settings

    def __str__(self) -> str:
        """Return the address."""
        return self.address

    @property
    def path(self) -> str:
        """Return a directory of this machine that holds the model, fetched if it lies elsewhere.

        Raises as `fetched_model`.
        """
        return fetched_model(self.address, self.s3) if is_address(self.address) else self.address
