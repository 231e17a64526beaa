"""What runs down the pages: a cursor, pieces that are poured into columns, and tables. No fiscal word."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from itertools import zip_longest
from typing import Literal

from jobsync.ride.paper.sheet import Align, Ink, Sheet

HEADING = Ink(7, bold=True)
CELL = Ink(7.4)
_SMALL_CELL = Ink(7)
PAD_X = 1.4  # between a cell's edge and its text
_LEAD = 1.4  # between numbers, which end at a column's right, and a text that begins at the next one's left
_NARROW_PAD, _NARROWEST_PAD = 1.1, 0.7  # where texts need more than one line; where words would be broken
_HEAD_PAD = 0.85
_PADS_Y = (0.85, 0.6, 0.35, 0.15)  # above and below a row's text; the smaller ones where they save a page
_HEAD_GREY, _RULE_GREY, _EDGE_GREY = 0.92, 0.75, 0.35
_EDGE_MM = 0.2
_SLACK = 0.01
_PART = 50  # lines of a row that are not divided in a column
_SPREAD, _EXTRA_MOST = 0.6, 5.0
_NUMBERS_MOST = 0.3  # of the width, before the columns' pads give way to texts
_TITLE_MOST = 18.5  # a longer title is divided between lines
_HALVINGS = 40  # of the interval in which widths are sought
_KEPT_ROWS = 2  # that go over to the last page with what follows the table


@dataclass(frozen=True, slots=True)
class Piece:
    """
    Something that is not divided: its height, and how to draw it with its top at a given y.

    Args:
        draw: None for a gap, which vanishes at the end of a page and at the top of one.
        keep: it never ends a page when another piece follows.
    """

    height_mm: float
    draw: Callable[[float], None] | None
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
                self._pour(group)
            ends.append((self.sheet.page, self.y, self._top))
        last, self.y, self._top = max(ends)
        self.sheet.turn_to(last)

    def _pour(self, group: Sequence[Piece]) -> None:
        whole = sum(piece.height_mm for piece in group)
        if whole <= self.page_room_mm and group[0].draw is not None:
            self.need(whole)
        for piece in group:
            if piece.draw is None:
                self.y += 0.0 if self.fresh else min(piece.height_mm, max(0.0, self.room_mm))
                continue
            self.need(piece.height_mm)
            piece.draw(self.y)
            self.y += piece.height_mm


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
class TableColumn:
    """
    One column of a table.

    Args:
        kind: a number's decimal points stand below each other; codes and texts run over several lines where room is
            scarce, and texts take what is left over.
    """

    title: str
    kind: Literal["text", "code", "number"] = "text"

    @property
    def align(self) -> Align:
        """On which side its cells stand."""
        return "right" if self.kind == "number" else "left"


@dataclass(slots=True)
class _Laid:
    """A column whose width is known; a number's point stands `fraction` before the right edge."""

    x: float
    width: float
    column: TableColumn
    title: list[str]
    fraction: float = 0.0


@dataclass(frozen=True, slots=True)
class _Wish:
    """
    What a column would like to have, without its pads.

    Args:
        texts: width of each paragraph in its cells.
        natural: width of the longest of them.
        fraction: what its numbers have right of the decimal point.
        title: width of its title, on one line unless it is a long one.
        title_least: the same on two lines.
    """

    column: TableColumn
    texts: Mapping[str, float]
    natural: float
    fraction: float
    title: float
    title_least: float


Cell = str | None
Filled = tuple[TableColumn, Sequence[Cell]]


@dataclass
class Table:
    """
    Rows under a heading that is repeated on every page.

    Args:
        rows: one text a column; a text may hold several paragraphs, divided by line feeds.
    """

    columns: Sequence[TableColumn]
    rows: Sequence[Sequence[Cell]]
    x: float
    width: float
    ink: Ink = CELL
    _laid: list[_Laid] = field(default_factory=list, init=False)
    _pad_x: float = field(default=PAD_X, init=False)
    _pad_y: float = field(default=_PADS_Y[0], init=False)
    _leads: list[float] = field(default_factory=list, init=False)

    def draw(self, flow: Flow, *, tail_mm: float = 0.0, all_mm: float = 0.0) -> None:
        """
        Draw the table, over as many pages as it takes; its rows come closer if that saves a page.

        Args:
            tail_mm: height of what follows and shall not stand alone on a page; the last rows go along with it.
            all_mm: height of everything that follows beside that.
        """
        if not self.rows or not self.columns:
            return
        sheet = flow.sheet
        rows, head = self._measure(sheet)
        self._pad_y = self._choose_pad(flow, [len(lines) for lines in rows], (tail_mm, all_mm), head)
        heights = [self._height(len(lines)) for lines in rows]
        first = heights[0] if heights[0] + head <= flow.page_room_mm else self.ink.line_mm
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
                fitting = int((flow.room_mm - 2 * self._pad_y) / self.ink.line_mm)
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
        rows, head = self._measure(sheet)

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

    def _measure(self, sheet: Sheet) -> tuple[list[list[tuple[str, ...]]], float]:
        """Return each row's lines across all columns, and the height of the heading."""
        self._lay_columns(sheet)
        rows = [list(zip_longest(*self._cells(sheet, row), fillvalue="")) for row in self.rows]
        return rows, max(len(laid.title) for laid in self._laid) * HEADING.line_mm + 2 * _HEAD_PAD

    def _height(self, lines: int) -> float:
        return max(lines, 1) * self.ink.line_mm + 2 * self._pad_y

    def _choose_pad(self, flow: Flow, counts: Sequence[int], tails_mm: Sequence[float], head: float) -> float:
        """Return the widest pad of a row that leads to as few pages as the narrowest one does."""

        def pages(pad: float) -> list[int]:
            heights = [max(lines, 1) * self.ink.line_mm + 2 * pad for lines in counts]
            return _count_pages(flow, heights, head, tails_mm)

        widest, *closer = _PADS_Y
        usual = pages(widest)
        if max(usual) == 1:
            return widest
        best = pages(closer[-1])
        if best >= usual:
            return widest
        return next(pad for pad in closer if pages(pad) == best)

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
            x = laid.x + (laid.width - self._pad_x if right else self._pad_x)
            top = y + height - _HEAD_PAD - len(laid.title) * HEADING.line_mm
            sheet.write_lines(x, top, laid.title, HEADING, align=laid.column.align)
        self._end(sheet, y + height)

    def _row(self, sheet: Sheet, y: float, rows: Sequence[Sequence[str]], *, rule: bool) -> None:
        if rule:
            sheet.rule(self.x, y, self.width, weight_mm=0.1, grey=_RULE_GREY)
        y += self._pad_y
        for lines in rows:
            for laid, text in zip(self._laid, lines, strict=True):
                if text:
                    self._write(sheet, laid, y, text)
            y += self.ink.line_mm

    def _end(self, sheet: Sheet, y: float) -> None:
        sheet.rule(self.x, y, self.width, weight_mm=_EDGE_MM, grey=_EDGE_GREY)

    def _write(self, sheet: Sheet, laid: _Laid, y: float, text: str) -> None:
        if laid.column.kind != "number":
            sheet.write(laid.x + self._pad_x, y, text, self.ink)
            return
        own = sheet.measure(_fraction(text), self.ink) if laid.fraction else 0.0
        right = laid.x + laid.width - self._pad_x - max(0.0, laid.fraction - own)
        sheet.write(right, y, text, self.ink, align="right")

    # --- measuring ---------------------------------------------------------------------------------------------------

    def _lay_columns(self, sheet: Sheet) -> None:
        before = [None, *(column.kind for column in self.columns)]
        self._leads = [
            _LEAD if ahead == "number" and column.kind != "number" else 0.0
            for ahead, column in zip(before, self.columns, strict=False)
        ]
        wishes = [self._wish(sheet, index, column) for index, column in enumerate(self.columns)]
        widths = self._spread(wishes) or self._squeeze(sheet, wishes)
        self._laid = []
        x = self.x
        for wish, width, lead in zip(wishes, widths, self._leads, strict=True):
            x += lead
            room = width - 2 * self._pad_x
            scale = self.ink.size_pt / CELL.size_pt
            fraction = wish.fraction * scale if wish.natural * scale <= room + _SLACK else 0.0
            title = sheet.wrap(wish.column.title, room, HEADING)
            self._laid.append(_Laid(x, width, wish.column, title, fraction))
            x += width

    def _wish(self, sheet: Sheet, index: int, column: TableColumn) -> _Wish:
        parts = {part for row in self.rows for part in (row[index] or "").split("\n")} - {""}
        texts = {part: sheet.measure(sheet.clean(part), self.ink) for part in parts}
        natural, fraction = max(texts.values(), default=0.0), 0.0
        if column.kind == "number":
            numbers = [sheet.clean(part) for part in parts]
            fraction = max((sheet.measure(_fraction(text), self.ink) for text in numbers), default=0.0)
            natural = fraction + max((sheet.measure(_whole(text), self.ink) for text in numbers), default=0.0)
        return _Wish(column, texts, natural, fraction, *_title_widths(column.title))

    @property
    def _room(self) -> float:
        """Width that pads and leads leave to all columns together."""
        return self.width - sum(self._leads) - 2 * self._pad_x * len(self.columns)

    def _spread(self, wishes: Sequence[_Wish]) -> list[float]:
        """Return widths with which no cell needs a second line; nothing if there is no room for that."""
        spare = self._room - sum(max(wish.natural, wish.title) for wish in wishes)
        if spare < 0:
            return []
        widths = [max(wish.natural, wish.title) + 2 * self._pad_x for wish in wishes]
        # what short texts leave over goes in part to the other columns, so that they do not crowd at one side
        flexible = [wish.column.kind == "text" for wish in wishes]
        others = max(1, flexible.count(False))
        if not any(flexible):
            return [width + spare / others for width in widths]
        extra = min(spare * _SPREAD / others, _EXTRA_MOST)
        for_texts = (spare - extra * flexible.count(False)) / flexible.count(True)
        return [width + (for_texts if flexes else extra) for width, flexes in zip(widths, flexible, strict=True)]

    def _squeeze(self, sheet: Sheet, wishes: Sequence[_Wish]) -> list[float]:
        """
        Return widths where texts need several lines: numbers get what they need and no more, the others the rest.

        No column is narrower than its longest word; only where even that is too much are the longest words broken.
        """
        words = [
            wish.natural if wish.column.kind == "number" else _longest_word(sheet, wish.texts, self.ink)
            for wish in wishes
        ]
        numbers = sum(wish.natural for wish in wishes if wish.column.kind == "number")
        if numbers > self._room * _NUMBERS_MOST:
            self._pad_x = _NARROW_PAD
        least = [max(word, wish.title_least) for word, wish in zip(words, wishes, strict=True)]
        scale = 1.0
        if sum(least) > self._room:
            scale, self._pad_x = _SMALL_CELL.size_pt / self.ink.size_pt, _NARROWEST_PAD
            self.ink = _SMALL_CELL
            least = [max(word * scale, wish.title_least) for word, wish in zip(words, wishes, strict=True)]
        pads, room = 2 * self._pad_x, self._room
        self._break_longest(sheet, wishes, least)
        most = [
            width if wish.column.kind == "number" else max(wish.natural * scale, width)
            for wish, width in zip(wishes, least, strict=True)
        ]
        weights = [self._bulk(index, wish) ** 0.5 for index, wish in enumerate(wishes)]

        def widths(level: float) -> list[float]:
            return [
                min(max(weight * level, at_least), at_most)
                for weight, at_least, at_most in zip(weights, least, most, strict=True)
            ]

        given = _fill(widths, room)
        left = (room - sum(given)) / len(given)
        return [width + left + pads for width in given]

    def _break_longest(self, sheet: Sheet, wishes: Sequence[_Wish], least: list[float]) -> None:
        """Take from the columns with the longest words, numbers last, until all fit; shorter words stay whole."""
        longest_first = sorted(range(len(least)), key=lambda one: (wishes[one].column.kind == "number", -least[one]))
        broken = []
        for index in longest_first:
            if sum(least) <= self._room:
                break
            least[index] = min(wishes[index].title_least, self._room / len(least))
            broken.append(index)
        for index in reversed(broken):
            possible = self._room - sum(least) + least[index]
            if wishes[index].column.kind == "number":
                least[index] = possible
            else:
                word = _longest_word(sheet, wishes[index].texts, self.ink, most=possible)
                least[index] = max(least[index], word)

    def _bulk(self, index: int, wish: _Wish) -> float:
        """Return the width of the column's longest cell, written on one line."""
        return max(sum(wish.texts.get(part, 0.0) for part in (row[index] or "").split("\n")) for row in self.rows)

    def _cells(self, sheet: Sheet, row: Sequence[Cell]) -> list[list[str]]:
        return [
            [
                line
                for paragraph in (text or "").split("\n")
                for line in sheet.wrap(paragraph, laid.width - 2 * self._pad_x, self.ink)
            ]
            for laid, text in zip(self._laid, row, strict=True)
        ]


def _count_pages(flow: Flow, heights: Sequence[float], head: float, tails_mm: Sequence[float]) -> list[int]:
    """Return on which page, from here, each of the columns below the rows would end."""
    y, page, on_page = flow.y + head, 1, 0
    for height in heights:
        if y + height > flow.bottom and on_page:
            y, page, on_page = flow.next_top + head, page + 1, 0
        y += height
        on_page += 1
    return [page + (y + tail > flow.bottom) for tail in tails_mm]


@cache  # the forms have some fifty titles, always the same
def _title_widths(title: str) -> tuple[float, float]:
    """Return the width of a title on one line, if it is not too long for that, and the least one on two lines."""
    words = title.split(" ")
    least = min(
        max(Sheet.measure(" ".join(part), HEADING) for part in (words[:place], words[place:]))
        for place in range(1, len(words) + 1)
    )
    whole = Sheet.measure(title, HEADING)
    return whole if whole <= _TITLE_MOST else least, least


def _longest_word(sheet: Sheet, texts: Iterable[str], ink: Ink, *, most: float = math.inf) -> float:
    words = {word for text in texts for word in sheet.clean(text).split(" ")}
    return max((width for word in words if (width := sheet.measure(word, ink)) <= most), default=0.0)


def _fill(widths: Callable[[float], list[float]], room: float) -> list[float]:
    """Return the widths at the highest level at which they fit into the room; they never shrink as the level rises."""
    low, high = 0.0, 1.0
    while sum(widths(high)) < room and high < room:
        high *= 2
    if sum(widths(high)) <= room:
        return widths(high)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if sum(widths(middle)) <= room:
            low = middle
        else:
            high = middle
    return widths(low)


def _fraction(text: str) -> str:
    """Return what stands right of where the decimal point is, the point included."""
    point = text.rfind(".")
    return text[point:] if point >= 0 else ""


def _whole(text: str) -> str:
    point = text.rfind(".")
    return text[:point] if point >= 0 else text
