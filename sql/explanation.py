"""Everything that the index and the artifacts say of one token."""

from typing import Any

import duckdb

from sql.published import REBUILD, connect_published, first_line
from sql.statements import rows, run
from tokensieve.errors import DamagedError, SettingsError, shortened
from tokensieve.storage import Storage


def explain_token(
    storage: Storage, run_name: str, sample: str, position: int
) -> list[dict[str, Any]]:
    """Return what each round of the run says of a response token, in their order, by column name.

    The columns are those of the tokens view, the round's selection, and how many tokens of the
    round are the same vocabulary token and how many of them were kept. `position` counts from 0,
    the prompt included. Raises SettingsError if no round has the token, DamagedError if a file
    cannot be read, and what `connect_published` raises.
    """
    asked: dict[str, str | int] = {"run": run_name, "sample": sample, "position": position}
    with connect_published(storage) as connection:
        try:
            found = rows(run(connection, "explain_token", **asked))
        except duckdb.Error as error:
            raise DamagedError(
                f"{storage}: a file could not be read: {first_line(error)} If it is an "
                f"artifact's, run the command that made it again; if it is the index: {REBUILD}"
            ) from None
    if not found:
        raise SettingsError(
            f"{storage}: no round of run {shortened(run_name)} that the index holds has a "
            f"response token at position {position} of sample {shortened(sample)}. The view "
            "`tokens` lists them; positions count from 0, the prompt included."
        )
    return found
