"""What docs/sql.md and its picture say of the schema, the named queries, and the demo's index.

python -m tests.sql_page                     after a change of the schema or of a named query
python -m tests.sql_page workspace/demo      after a change of a question, from a finished demo
"""

import re
import sys
import textwrap
from html import escape
from pathlib import Path

from sql.named_queries import LAST, NamedQuery, named_queries
from sql.query import query
from tasks.query import format_result
from tests.index_schema import Table, index_tables
from tests.schema_picture import schema_picture
from tokensieve.storage import LocalStorage

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGE, PICTURE = DOCS / "sql.md", DOCS / "schema.svg"
WIDTH = 100
_QUESTION = re.compile(r"^```sql\n(.*?)^```\n\n```text\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SHARED = re.compile(r"^\| (`.*?) \| (.*) \|$", re.MULTILINE)


def questions(page: str) -> list[tuple[str, str]]:
    """Return each statement of the page that has an answer, with it."""
    return _QUESTION.findall(page)


def answer(storage: LocalStorage, statement: str) -> str:
    """Return an answer as the page shows it."""
    return format_result(query(storage, statement, max_rows=100, max_seconds=60), "table", WIDTH)


def with_answers(page: str, storage: LocalStorage) -> str:
    """Return the page with the answers of an index."""

    def answered(found: re.Match[str]) -> str:
        return f"```sql\n{found[1]}```\n\n```text\n{answer(storage, found[1])}```"

    return _QUESTION.sub(answered, page)


def with_reference(page: str, tables: list[Table]) -> str:
    """Return the page with the named queries, the tables and the views as they are."""
    queries = "\n".join(map(_of_query, named_queries()))
    page = _filled(
        page, "sql/named", f"| name | what it answers | parameters |\n|---|---|---|\n{queries}"
    )
    return _filled(page, "sql/schema and sql/views", "\n".join(map(_of_table, tables)))


def shared_columns(page: str) -> set[str]:
    """Return the columns of which the page says what they are in every table."""
    part = page.partition("## Columns of many tables\n")[2].partition("\n## ")[0]
    return {name for names, _ in _SHARED.findall(part) for name in re.findall(r"`(\w+)`", names)}


def _filled(page: str, source: str, text: str) -> str:
    """Return the page with a text where it says that it is made of `source`."""
    before, mark, rest = page.partition(f"<!-- made of {source} -->\n")
    _, end, after = rest.partition("<!-- end -->\n")
    assert mark
    assert end
    return f"{before}{mark}\n{text.strip()}\n\n{end}{after}"


def _of_query(named: NamedQuery) -> str:
    shown = [
        f"`{each.name}`" if each.default == LAST else f"`{each.name} = {each.default}`"
        for each in named.parameters
    ]
    return f"| `{named.name}` | {_plain(named.sentence)} | {', '.join(shown)} |"


def _of_table(table: Table) -> str:
    key = f" Key: {', '.join(f'`{name}`' for name in table.key)}." if table.key else ""
    about = textwrap.fill(f"{_plain(table.about)}{key}", 120)
    lines = [f"### {table.name}", "", about, "", "| column | type | |"]
    lines += ["|---|---|---|"]
    lines += [f"| `{c.name}` | {c.type} | {_plain(c.meaning)} |" for c in table.columns]
    return "\n".join([*lines, ""])


def _plain(text: str) -> str:
    """Return text that Markdown leaves alone."""
    return escape(text, quote=False).replace("|", r"\|").replace("*", r"\*")


def main(workspaces: list[str]) -> None:
    """Bring page and picture up to date."""
    tables = index_tables()
    page = with_reference(PAGE.read_text("utf-8"), tables)
    for each in workspaces:
        page = with_answers(page, LocalStorage(Path(each)))
    PAGE.write_text(page, "utf-8")
    PICTURE.write_text(schema_picture(tables), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
