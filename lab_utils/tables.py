"""Tables that a notebook shows as HTML: a colour always has a word beside it."""

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass

# White on each is readable (a contrast of 4.9 or more), and so they suit light and dark pages.
GREEN, AMBER, RED, BLUE = "#1a7f37", "#9a6700", "#cf222e", "#3f6fb5"
CELL = "text-align: left; vertical-align: top; white-space: normal; overflow-wrap: anywhere"
PILL = "color: white; padding: 1px 8px; border-radius: 8px; white-space: nowrap"
BAR_WIDTH = 8  # em


@dataclass(frozen=True)
class Pill:
    """A word on a colour."""

    text: str
    color: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Bar:
    """A bar that is filled from 0 to 1, with its meaning in words."""

    share: float
    text: str
    color: str = BLUE

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Link:
    """A link to a notebook in the same folder."""

    text: str
    target: str

    def __str__(self) -> str:
        return self.text


Cell = str | Pill | Bar | Link


class Table:
    """A table for a notebook; printed, a line for each row.

    Parameters
    ----------
    title : str
        What it shows.
    header : sequence of str
        What each column is.
    rows : sequence of tuple
        The cells: texts, in one line or several, or `Pill`, `Bar` and `Link`.
    foot : str
        What stands below it.
    """

    def __init__(
        self, title: str, header: Sequence[str], rows: Sequence[tuple[Cell, ...]], foot: str = ""
    ):
        self.title = title
        self.header = header
        self.rows = rows
        self.foot = foot

    def __str__(self) -> str:
        rows = ["  ".join(str(cell) for cell in row if str(cell)) for row in self.rows]
        return "\n".join([self.title, *rows, *([self.foot] if self.foot else [])])

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        table = ET.Element("table")
        _add(table, "caption", self.title, style="text-align: left; font-weight: bold")
        head = ET.SubElement(ET.SubElement(table, "thead"), "tr")
        for text in self.header:
            _add(head, "th", text, scope="col", style=CELL)
        body = ET.SubElement(table, "tbody")
        for row in self.rows:
            line = ET.SubElement(body, "tr")
            for cell in row:
                _fill(ET.SubElement(line, "td", style=CELL), cell)
        html = ET.tostring(table, encoding="unicode", method="html")
        if self.foot:
            foot = ET.Element("p")
            foot.text = self.foot
            html += ET.tostring(foot, encoding="unicode", method="html")
        return html


def _add(parent: ET.Element, tag: str, text: str, **attributes: str) -> ET.Element:
    element = ET.SubElement(parent, tag, attributes)
    element.text = text
    return element


def _fill(parent: ET.Element, cell: Cell) -> None:
    match cell:
        case Pill(text, color):
            _add(parent, "span", text, style=f"{PILL}; background: {color}")
        case Link(text, target):
            _add(parent, "a", text, href=target)
        case Bar(share, text, color):
            frame = f"width: {BAR_WIDTH}em; border: 1px solid {color}; border-radius: 4px"
            outer = ET.SubElement(parent, "div", {"style": frame, "aria-hidden": "true"})
            filled = f"width: {100 * share:.0f}%; height: 0.7em; background: {color}"
            ET.SubElement(outer, "div", style=filled)
            _add(parent, "span", text)
        case _:
            parent.text, *below = cell.split("\n")
            for line in below:
                ET.SubElement(parent, "br").tail = line
