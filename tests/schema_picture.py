"""The schema as a picture: each table in a frame with what its rows are of, and what names what."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from tests.index_schema import Table

BOX, GAP, PAD, LINE, BETWEEN = 168, 10, 14, 16, 96
LEADS_TO = {"corpus": "corpus", "selection": "artifact", "model": "model"}
"""The frame that a column of a run or a round names something of."""
STYLE = """
text { font: 12px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; fill: #1f2937 }
.title { font: 600 13px system-ui, sans-serif }
.table { font-weight: 700 }
.more, .label { font: 11px system-ui, sans-serif; fill: #57606a }
.label { paint-order: stroke; stroke: #ffffff; stroke-width: 4 }
.paper, .box { fill: #ffffff }
.frame { fill: #f6f8fa; stroke: #d0d7de }
.box { stroke: #8c959f }
.arrow { stroke: #0969da; stroke-width: 1.5; fill: none; marker-end: url(#head) }
"""
HEAD = (
    '<marker id="head" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" '
    'markerUnits="userSpaceOnUse" '
    'orient="auto"><path d="M0 0L8 4L0 8z" fill="#0969da"/></marker>'
)


@dataclass(frozen=True)
class Box:
    """A table at its place."""

    table: Table
    x: int
    y: int
    height: int


@dataclass(frozen=True)
class Frame:
    """The tables whose rows are of one thing."""

    title: str
    x: int
    y: int
    width: int
    height: int
    boxes: list[Box]


def schema_picture(tables: Sequence[Table]) -> str:
    """Return the picture as SVG."""
    groups = _groups(tables)
    rounds = _frame("by run and round", groups["round"], 0, 0, across=2)
    middle = rounds.width + BETWEEN
    runs = _frame("by run", groups["run"], middle, 0)
    right = middle + runs.width + BETWEEN
    frames = {"round": rounds, "run": runs}
    top = 0
    for name in ("corpus", "artifact", "model"):
        frames[name] = _frame(f"by {name}", groups[name], right, top)
        top += frames[name].height + GAP * 2
    bottom = max(rounds.height, runs.height) + GAP * 2
    frames["view"] = _frame("views of the artifacts' files", groups["view"], 0, bottom, across=3)
    height = max(frame.y + frame.height for frame in frames.values())
    parts = [*map(_drawn_frame, frames.values()), *_arrows(frames)]
    return _drawn(parts, right + runs.width, height)


def _groups(tables: Sequence[Table]) -> dict[str, list[Table]]:
    """Return the tables by what their rows are of, which the beginning of their keys tells."""
    groups: dict[str, list[Table]] = {}
    for table in tables:
        of = table.key[0] if table.key else "view"
        is_of_round = table.key[:2] == ["run", "round"] and table.name != "rounds"
        if table.name != "meta":
            groups.setdefault("round" if is_of_round else of, []).append(table)
    return groups


def _frame(title: str, tables: Sequence[Table], x: int, y: int, across: int = 1) -> Frame:
    """Return a frame with its boxes, `across` beside each other, each where there is most room."""
    ends = [y + PAD + LINE + GAP] * across
    boxes = []
    for table in tables:
        column = ends.index(min(ends))
        height = LINE * (1 + len(_lines(table))) + GAP
        boxes.append(Box(table, x + PAD + column * (BOX + GAP), ends[column], height))
        ends[column] += height + GAP
    width = across * (BOX + GAP) - GAP + 2 * PAD
    return Frame(title, x, y, width, max(ends) - y + PAD - GAP, boxes)


def _lines(table: Table) -> list[str]:
    """Return the columns of the key that the frame does not tell, and how many others there are."""
    key = [name for name in table.key if name not in ("run", "corpus", "artifact", "model")]
    shown = [name for name in key if name != "round" or table.name == "rounds"]
    others = len(table.columns) - len(table.key)
    return [*shown, f"+ {others} column{'s' * (others > 1)}"] if others else shown


def _drawn_frame(frame: Frame) -> str:
    found = [
        _rectangle("frame", frame, frame.width),
        _text("title", frame.x + PAD, frame.y + PAD + LINE - 4, frame.title),
    ]
    for box in frame.boxes:
        found.append(_rectangle("box", box, BOX))
        for number, line in enumerate([box.table.name, *_lines(box.table)]):
            kind = "more" if line.startswith("+") else "key" if number else "table"
            found.append(_text(kind, box.x + GAP, box.y + LINE * (number + 1), line))
    return "\n".join(found)


def _arrows(frames: dict[str, Frame]) -> list[str]:
    """Return arrows from the statistics to `rounds`, and from runs and rounds to what they name."""
    boxes = {box.table.name: box for box in frames["run"].boxes}
    edge, rounds = frames["round"].width, boxes["rounds"]
    middle = rounds.y + rounds.height // 2
    drawn = [_arrow(edge, middle, rounds.x, middle)]
    drawn.append(_text("label", edge + GAP, middle - 6, "run, round"))
    for box in boxes.values():
        named = [each.name for each in box.table.columns if each.name in LEADS_TO]
        for number, column in enumerate(named):
            to, y = frames[LEADS_TO[column]], box.y + LINE * number + box.height // 4
            drawn.append(_arrow(box.x + BOX, y, to.x, to.y + to.height // 2))
    for column, name in LEADS_TO.items():
        to = frames[name]
        place = (to.x - GAP - 6 * len(column), to.y + to.height // 2 - GAP)
        drawn.append(_text("label", *place, column))
    return drawn


def _arrow(x: int, y: int, to_x: int, to_y: int) -> str:
    half = (x + to_x) // 2
    return f'<path class="arrow" d="M{x} {y}C{half} {y} {half} {to_y} {to_x} {to_y}"/>'


def _rectangle(kind: str, place: Frame | Box, width: int) -> str:
    return (
        f'<rect class="{kind}" x="{place.x}" y="{place.y}" width="{width}" '
        f'height="{place.height}" rx="5"/>'
    )


def _text(kind: str, x: int, y: int, text: str) -> str:
    return f'<text class="{kind}" x="{x}" y="{y}">{escape(text)}</text>'


def _drawn(parts: Sequence[str], width: int, height: int) -> str:
    """Return the whole picture, with a margin."""
    place = f"{-PAD} {-PAD} {width + 2 * PAD} {height + 2 * PAD}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{place}" role="img" '
        f'aria-label="the tables and views of the index">\n<style>{STYLE}</style>\n'
        f"<defs>{HEAD}</defs>\n"
        f'<rect class="paper" x="{-PAD}" y="{-PAD}" width="100%" height="100%"/>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )
