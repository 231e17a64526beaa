"""What runs down the pages: a cursor, pieces that are poured into columns, and tables. No fiscal word."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import zip_longest

from jobsync.ride.sheet import Align, Ink, Sheet

HEADING = Ink(6.6, bold=True)
CELL = Ink(7.4)
_PAD_X, _PAD_Y = 1.2, 0.85
_HEAD_GREY, _RULE_GREY, _EDGE_GREY = 0.92, 0.75, 0.35
_EDGE_MM = 0.2
_SLACK = 0.01
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
            a text takes its `share` of what is left.
    """

    title: str
    kind: str = "text"
    most_mm: float = 24.0
    share: float = 1.0
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
    _under_head: bool = field(default=True, init=False)

    def draw(self, flow: Flow, *, tail_mm: float = 0.0) -> None:
        """
        Draw the table, over as many pages as it takes.

        Args:
            tail_mm: height of what follows and shall not stand alone on a page; the last rows go along with it.
        """
        sheet = flow.sheet
        rows, heights, head = self._measure(sheet)
        first = heights[0] if heights and heights[0] + head <= flow.page_room_mm else self.ink.line_mm
        flow.need(head + first)
        over = self._first_row_to_carry(flow, heights, tail_mm, head)
        if over == 0 and not flow.fresh:
            flow.next_page()
        self._head(flow, head)
        for index, (lines, height) in enumerate(zip(rows, heights, strict=True)):
            if (index and index == over) or (height > flow.room_mm and height + head <= flow.page_room_mm):
                self._turn(flow, head)
            rest = lines
            while self._height(len(rest)) > flow.room_mm + _SLACK:  # a row taller than a page
                fitting = int((flow.room_mm - 2 * _PAD_Y) / self.ink.line_mm)
                if fitting > 0:
                    self._row(sheet, flow.y, rest[:fitting])
                    flow.y += self._height(fitting)
                    rest = rest[fitting:]
                self._turn(flow, head)
            self._row(sheet, flow.y, rest)
            flow.y += self._height(len(rest))
        self._end(sheet, flow.y)

    def pieces(self, sheet: Sheet) -> list[Piece]:
        """Return the table as pieces, for a column; its heading is not repeated."""
        rows, heights, head = self._measure(sheet)

        def row(lines: list[tuple[str, ...]], y: float, height: float, *, last: bool) -> None:
            self._row(sheet, y, lines)
            if last:
                self._end(sheet, y + height)

        pieces = [Piece(head, lambda y: self._head_at(sheet, y, head), keep=True)]
        for index, (lines, height) in enumerate(zip(rows, heights, strict=True)):
            last = index == len(rows) - 1
            pieces.append(Piece(height, partial(row, lines, height=height, last=last)))
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
        y, fresh = flow.y + head, True
        for height in heights:
            if y + height > flow.bottom and not fresh:
                y = flow.next_top + head
            y += height
            fresh = False
        if y + tail_mm <= flow.bottom or tail_mm + head > flow.page_room_mm:
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
            x = laid.x + (laid.width - _PAD_X if right else _PAD_X)
            top = y + height - _PAD_Y - len(laid.title) * HEADING.line_mm
            sheet.write_lines(x, top, laid.title, HEADING, align=laid.column.align)
        self._end(sheet, y + height)
        self._under_head = True

    def _row(self, sheet: Sheet, y: float, rows: Sequence[Sequence[str]]) -> None:
        if not self._under_head:
            sheet.rule(self.x, y, self.width, weight_mm=0.1, grey=_RULE_GREY)
        self._under_head = False
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
            sheet.write(laid.x + _PAD_X, y, text, laid.ink)
            return
        own = sheet.measure(_fraction(text), laid.ink) if laid.fraction else 0.0
        right = laid.x + laid.width - _PAD_X - max(0.0, laid.fraction - own)
        sheet.write(right, y, text, laid.ink, align="right")

    # --- measuring ---------------------------------------------------------------------------------------------------

    def _lay_columns(self, sheet: Sheet) -> None:
        widths: list[float] = []
        fractions: list[float] = []
        for index, column in enumerate(self.columns):
            texts = {sheet.clean(part) for row in self.rows for part in (row[index] or "").split("\n")} - {""}
            word = max(sheet.measure(part, HEADING) for part in sheet.clean(column.title).split(" "))
            natural, fraction = 0.0, 0.0
            if column.kind == "number":
                fraction = max((sheet.measure(_fraction(text), self.ink) for text in texts), default=0.0)
                natural = fraction + max((sheet.measure(_whole(text), self.ink) for text in texts), default=0.0)
            elif column.kind == "code":
                natural = max((sheet.measure(text, self.ink) for text in texts), default=0.0)
            if column.kind == "text":
                widths.append(0.0)
            else:
                if natural > column.most_mm:
                    fraction = 0.0
                widths.append(max(min(natural, column.most_mm), word, column.least_mm) + 2 * _PAD_X)
            fractions.append(fraction)
        left = self.width - sum(widths)
        shares = sum(column.share for column in self.columns if column.kind == "text")
        self._laid = []
        x = self.x
        for column, width, fraction in zip(self.columns, widths, fractions, strict=True):
            room = width or left * column.share / shares
            if not shares:
                room += left / len(self.columns)
            title = sheet.wrap(column.title, room - 2 * _PAD_X, HEADING)
            self._laid.append(_Laid(x, room, column, title, fraction, self.ink))
            x += room

    def _cells(self, sheet: Sheet, row: Sequence[Cell]) -> list[list[str]]:
        return [
            [
                line
                for paragraph in (text or "").split("\n")
                for line in sheet.wrap(paragraph, laid.width - 2 * _PAD_X, laid.ink)
            ]
            for laid, text in zip(self._laid, row, strict=True)
        ]


def _fraction(text: str) -> str:
    """Return what stands right of where the decimal point is, the point included."""
    point = text.rfind(".")
    return text[point:] if point >= 0 else ""


def _whole(text: str) -> str:
    point = text.rfind(".")
    return text[:point] if point >= 0 else text
