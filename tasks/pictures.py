"""Show a picture in the Prefect UI, and keep it beside what it shows."""

from base64 import b64encode

from prefect.artifacts import create_markdown_artifact

from tokensieve.storage import Storage

MAX_BYTES = 100_000
"""Largest picture that is sent to the server: it keeps every one in its database."""


def show_picture(name: str, title: str, png: bytes, storage: Storage, key: str) -> None:
    """Keep the picture under `key`, in the place of an earlier one, and show it as `name`.

    `name` (lower-case letters, digits and dashes) is its key among the artifacts of the flow run. A
    picture larger than MAX_BYTES is named there, but not shown. Raises ResourceError.
    """
    storage.replace_bytes(key, png)
    # The UI shows an image artifact too, but prints its whole address below it.
    shown = f"![{title}](data:image/png;base64,{b64encode(png).decode()})"
    too_large = f"Too large to show here: {len(png):,} bytes."
    body = shown if len(png) <= MAX_BYTES else too_large
    create_markdown_artifact(f"{body}\n\n`{storage.place(key)}`", key=name, description=title)
