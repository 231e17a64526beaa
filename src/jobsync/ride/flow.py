"""What runs down the pages: a cursor, pieces that are poured into columns, and tables. No fiscal word."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import zip_longest

from jobsync.ride.sheet import Align, Ink, Sheet

HEADING = Ink(6.6, bold=True)
CELL = Ink(7.4)
PAD_X = 1.4  # between a cell's edge and its text
_PAD_Y = 0.85
_HEAD_GREY, _RULE_GREY, _EDGE_GREY = 0.92, 0.75, 0.35
_EDGE_MM = 0.2
_SLACK = 0.01
_PART = 50  # lines of a row that are not divided in a column
_SPREAD, _EXTRA_MOST, _WEIGHT = 0.6, 5.0, 0.7
_KEPT_ROWS = 2  # that go over to the last page with what follows the table


@dataclass(frozen=True, slots=True)
class Piece:
    """
    Something that is not divided: its height, and how to draw it with its top at a given y.

    Args:
        keep: it never ends a page when another piece follows.
    """

    height_mm: float
    draw: Callable[[float], None]
    keep: bool = False


class Flow:
    """
    A cursor that runs down the pages.

    Args:
        top_mm: where it starts on the first page.
        next_top_mm: where it starts on the pages that follow.
    """

    def __init__(self, sheet: Sheet, *, top_mm: float, next_top_mm: float, bottom_mm: float) -> None:
        self.sheet, self.y, self.next_top, self.bottom = sheet, top_mm, next_top_mm, bottom_mm
        self._top = top_mm

    @property
    def room_mm(self) -> float:
        """What is left of the page."""
        return self.bottom - self.y

    @property
    def page_room_mm(self) -> float:
        """What a whole page that follows has room for."""
        return self.bottom - self.next_top

    @property
    def fresh(self) -> bool:
        """Whether nothing was put onto this page yet."""
        return self.y <= self._top

    def next_page(self) -> None:
        """Go to the top of the next page."""
        self.sheet.turn_to(self.sheet.page + 1)
        self.y = self._top = self.next_top

    def need(self, height_mm: float) -> None:
        """Go to the next page if this height does not fit here, unless nothing would be gained."""
        if height_mm > self.room_mm and not self.fresh:
            self.next_page()

    def pour(self, *columns: Sequence[Piece]) -> None:
        """Let columns run down beside each other from here, each over as many pages as it takes."""
        page, y, top = self.sheet.page, self.y, self._top
        ends = []
        for pieces in columns:
            self.sheet.turn_to(page)
            self.y, self._top = y, top
            for group in _groups(pieces):
                whole = sum(piece.height_mm for piece in group)
                if whole <= self.page_room_mm:
                    self.need(whole)
                for piece in group:
                    self.need(piece.height_mm)
                    piece.draw(self.y)
                    self.y += piece.height_mm
            ends.append((self.sheet.page, self.y, self._top))
        last, self.y, self._top = max(ends)
        self.sheet.turn_to(last)


def _groups(pieces: Sequence[Piece]) -> list[list[Piece]]:
    groups: list[list[Piece]] = []
    kept = False
    for piece in pieces:
        if kept:
            groups[-1].append(piece)
        else:
            groups.append([piece])
        kept = piece.keep
    return groups


@dataclass(frozen=True, slots=True)
class Column:
    """
    One column of a table.

    Args:
        kind: a number's decimal points stand below each other; a code is as wide as its longest text, up to `most_mm`;
            texts share what is left.
    """

    title: str
    kind: str = "text"
    most_mm: float = 24.0
    least_mm: float = 0.0

    @property
    def align(self) -> Align:
        """On which side its cells stand."""
        return "right" if self.kind == "number" else "left"


@dataclass(slots=True)
class _Laid:
    """A column whose width is known; a number's point stands `fraction` before the right edge."""

    x: float
    width: float
    column: Column
    title: list[str]
    fraction: float = 0.0
    ink: Ink = CELL


Cell = str | None
Filled = tuple[Column, Sequence[Cell]]


@dataclass
class Table:
    """
    Rows under a heading that is repeated on every page.

    Args:
        rows: one text a column; a text may hold several paragraphs, divided by line feeds.
    """

    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    x: float
    width: float
    ink: Ink = CELL
    _laid: list[_Laid] = field(default_factory=list, init=False)

    def draw(self, flow: Flow, *, tail_mm: float = 0.0) -> None:
        """
        Draw the table, over as many pages as it takes.

        Args:
            tail_mm: height of what follows and shall not stand alone on a page; the last rows go along with it.
        """
        if not self.rows or not self.columns:
            return
        sheet = flow.sheet
        rows, heights, head = self._measure(sheet)
        first = heights[0] if heights and heights[0] + head <= flow.page_room_mm else self.ink.line_mm
        flow.need(head + first)
        over = self._first_row_to_carry(flow, heights, tail_mm, head)
        if over == 0 and not flow.fresh:
            flow.next_page()
        self._head(flow, head)
        below_head = True
        for index, (lines, height) in enumerate(zip(rows, heights, strict=True)):
            if (index and index == over) or (height > flow.room_mm and height + head <= flow.page_room_mm):
                self._turn(flow, head)
                below_head = True
            rest = lines
            while self._height(len(rest)) > flow.room_mm + _SLACK:  # a row taller than a page
                fitting = int((flow.room_mm - 2 * _PAD_Y) / self.ink.line_mm)
                if fitting > 0:
                    self._row(sheet, flow.y, rest[:fitting], rule=not below_head)
                    flow.y += self._height(fitting)
                    rest = rest[fitting:]
                self._turn(flow, head)
                below_head = True
            self._row(sheet, flow.y, rest, rule=not below_head)
            flow.y += self._height(len(rest))
            below_head = False
        self._end(sheet, flow.y)

    def pieces(self, sheet: Sheet) -> list[Piece]:
        """Return the table as pieces, for a column; its heading is not repeated."""
        rows, _, head = self._measure(sheet)

        def row(lines: list[tuple[str, ...]], y: float, *, first: bool, last: bool) -> None:
            self._row(sheet, y, lines, rule=first)
            if last:
                self._end(sheet, y + self._height(len(lines)))

        pieces = [Piece(head, lambda y: self._head_at(sheet, y, head), keep=True)]
        for index, lines in enumerate(rows):
            parts = [lines[start : start + _PART] for start in range(0, len(lines), _PART)] or [lines]
            for place, part in enumerate(parts):
                last = index == len(rows) - 1 and place == len(parts) - 1
                pieces.append(
                    Piece(self._height(len(part)), partial(row, part, first=index > 0 and place == 0, last=last))
                )
        return pieces

    def _measure(self, sheet: Sheet) -> tuple[list[list[tuple[str, ...]]], list[float], float]:
        """Return each row's lines across all columns, the heights of the rows, and that of the heading."""
        self._lay_columns(sheet)
        rows = [list(zip_longest(*self._cells(sheet, row), fillvalue="")) for row in self.rows]
        head = max(len(laid.title) for laid in self._laid) * HEADING.line_mm + 2 * _PAD_Y
        return rows, [self._height(len(lines)) for lines in rows], head

    def _height(self, lines: int) -> float:
        return max(lines, 1) * self.ink.line_mm + 2 * _PAD_Y

    def _first_row_to_carry(self, flow: Flow, heights: Sequence[float], tail_mm: float, head: float) -> int | None:
        """Return the row before which a page has to end so that the tail is not alone; None if it will not be."""
        y, on_page, turned = flow.y + head, 0, False
        for height in heights:
            if y + height > flow.bottom and on_page:
                y, on_page, turned = flow.next_top + head, 0, True
            y += height
            on_page += 1
        alone = turned and on_page < _KEPT_ROWS
        if tail_mm + head > flow.page_room_mm or (y + tail_mm <= flow.bottom and not alone):
            return None
        count, carried = 0, tail_mm + head
        while count < min(_KEPT_ROWS, len(heights)) and carried + heights[-1 - count] <= flow.page_room_mm:
            carried += heights[-1 - count]
            count += 1
        return len(heights) - count if count else None

    def _turn(self, flow: Flow, head: float) -> None:
        self._end(flow.sheet, flow.y)
        flow.next_page()
        self._head(flow, head)

    def _head(self, flow: Flow, height: float) -> None:
        self._head_at(flow.sheet, flow.y, height)
        flow.y += height

    def _head_at(self, sheet: Sheet, y: float, height: float) -> None:
        sheet.tint(self.x, y, self.width, height, grey=_HEAD_GREY)
        sheet.rule(self.x, y, self.width, weight_mm=_EDGE_MM, grey=_EDGE_GREY)
        for laid in self._laid:
            right = laid.column.align == "right"
            x = laid.x + (laid.width - PAD_X if right else PAD_X)
            top = y + height - _PAD_Y - len(laid.title) * HEADING.line_mm
            sheet.write_lines(x, top, laid.title, HEADING, align=laid.column.align)
        self._end(sheet, y + height)

    def _row(self, sheet: Sheet, y: float, rows: Sequence[Sequence[str]], *, rule: bool) -> None:
        if rule:
            sheet.rule(self.x, y, self.width, weight_mm=0.1, grey=_RULE_GREY)
        y += _PAD_Y
        for lines in rows:
            for laid, text in zip(self._laid, lines, strict=True):
                if text:
                    self._write(sheet, laid, y, text)
            y += self.ink.line_mm

    def _end(self, sheet: Sheet, y: float) -> None:
        sheet.rule(self.x, y, self.width, weight_mm=_EDGE_MM, grey=_EDGE_GREY)

    def _write(self, sheet: Sheet, laid: _Laid, y: float, text: str) -> None:
        if laid.column.kind != "number":
            sheet.write(laid.x + PAD_X, y, text, laid.ink)
            return
        own = sheet.measure(_fraction(text), laid.ink) if laid.fraction else 0.0
        right = laid.x + laid.width - PAD_X - max(0.0, laid.fraction - own)
        sheet.write(right, y, text, laid.ink, align="right")

    # --- measuring ---------------------------------------------------------------------------------------------------

    def _lay_columns(self, sheet: Sheet) -> None:
        measured = [self._measure_column(sheet, index, column) for index, column in enumerate(self.columns)]
        flexible = [column.kind == "text" for column in self.columns]
        fixed = sum(width for (width, _), flexes in zip(measured, flexible, strict=True) if not flexes)
        wanted = sum(width for (width, _), flexes in zip(measured, flexible, strict=True) if flexes)
        # what short texts leave over goes in part to the other columns, so that they do not crowd at one side
        spare = max(0.0, self.width - fixed - wanted) * (1.0 if not any(flexible) else _SPREAD)
        extra = min(spare / max(1, flexible.count(False)), _EXTRA_MOST if any(flexible) else self.width)
        left = self.width - fixed - extra * flexible.count(False)
        texts = _share([width for (width, _), flexes in zip(measured, flexible, strict=True) if flexes], left)
        widths = [
            texts.pop(0) if flexes else width + extra for (width, _), flexes in zip(measured, flexible, strict=True)
        ]
        self._laid = []
        x = self.x
        for column, (_, fraction), room in zip(self.columns, measured, widths, strict=True):
            title = sheet.wrap(column.title, room - 2 * PAD_X, HEADING)
            self._laid.append(_Laid(x, room, column, title, fraction, self.ink))
            x += room

    def _measure_column(self, sheet: Sheet, index: int, column: Column) -> tuple[float, float]:
        """Return the width that a column wants, and what its numbers have right of the decimal point."""
        texts = {sheet.clean(part) for row in self.rows for part in (row[index] or "").split("\n")} - {""}
        word = max(sheet.measure(part, HEADING) for part in sheet.clean(column.title).split(" "))
        natural, fraction = 0.0, 0.0
        if column.kind == "number":
            fraction = max((sheet.measure(_fraction(text), self.ink) for text in texts), default=0.0)
            natural = fraction + max((sheet.measure(_whole(text), self.ink) for text in texts), default=0.0)
        else:
            natural = max((sheet.measure(text, self.ink) for text in texts), default=0.0)
        if column.kind != "text" and natural > column.most_mm:
            natural, fraction = column.most_mm, 0.0
        return max(natural, word, column.least_mm) + 2 * PAD_X, fraction

    def _cells(self, sheet: Sheet, row: Sequence[Cell]) -> list[list[str]]:
        return [
            [
                line
                for paragraph in (text or "").split("\n")
                for line in sheet.wrap(paragraph, laid.width - 2 * PAD_X, laid.ink)
            ]
            for laid, text in zip(self._laid, row, strict=True)
        ]


def _share(wanted: Sequence[float], room: float) -> list[float]:
    """Divide the room among texts: short ones get what they want, long ones the rest, less than in proportion."""
    given = [0.0] * len(wanted)
    hungry = list(range(len(wanted)))
    while hungry:
        weights = sum(wanted[index] ** _WEIGHT for index in hungry)
        offer = {index: room * wanted[index] ** _WEIGHT / weights for index in hungry}
        content = [index for index in hungry if wanted[index] <= offer[index]]
        if not content or content == hungry:
            for index in hungry:
                given[index] = offer[index]
            break
        for index in content:
            given[index] = wanted[index]
            room -= wanted[index]
        hungry = [index for index in hungry if index not in content]
    return given


def _fraction(text: str) -> str:
    """Return what stands right of where the decimal point is, the point included."""
    point = text.rfind(".")
    return text[point:] if point >= 0 else ""


def _whole(text: str) -> str:
    point = text.rfind(".")
    return text[:point] if point >= 0 else text
