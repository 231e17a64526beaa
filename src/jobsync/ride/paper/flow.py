"""What runs down the pages: a cursor, pieces that are poured into columns, and tables. No fiscal word."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import accumulate, zip_longest
from typing import Literal

from jobsync.ride.paper.sheet import Ink, Sheet

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
    """Something that is not divided: its height, and how to draw it with its top at a given y."""

    height_mm: float
    draw: Callable[[float], None] | None  # None is a gap, which vanishes at the end of a page and at the top of one
    keep: bool = False  # it never ends a page when another piece follows


class Flow:
    """A cursor that runs down the pages, from `top_mm` on the first one and from `next_top_mm` on those that follow."""

    def __init__(self, sheet: Sheet, *, top_mm: float, next_top_mm: float, bottom_mm: float) -> None:
        self.sheet, self.y, self.next_top, self.bottom = sheet, top_mm, next_top_mm, bottom_mm
        self._top = top_mm

    @property
    def room_mm(self) -> float:
        return self.bottom - self.y

    @property
    def page_room_mm(self) -> float:
        """What a whole page that follows has room for."""
        return self.bottom - self.next_top

    @property
    def fresh(self) -> bool:
        return self.y <= self._top

    def next_page(self) -> None:
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
            self._pour(pieces)
            ends.append((self.sheet.page, self.y, self._top))
        last, self.y, self._top = max(ends)
        self.sheet.turn_to(last)

    def _pour(self, pieces: Sequence[Piece]) -> None:
        kept = False  # with the piece before
        for place, piece in enumerate(pieces):
            if piece.draw is None:
                self.y += 0.0 if self.fresh else min(piece.height_mm, max(0.0, self.room_mm))
            else:
                height = piece.height_mm
                if not kept:  # the first of a group, which is to stay together
                    end = next((end for end in range(place, len(pieces)) if not pieces[end].keep), len(pieces))
                    group = sum(one.height_mm for one in pieces[place : end + 1])
                    height = group if group <= self.page_room_mm else height
                self.need(height)
                piece.draw(self.y)
                self.y += piece.height_mm
            kept = piece.keep


@dataclass(frozen=True, slots=True)
class Column:
    """
    One column of a table; a cell may hold several paragraphs, divided by line feeds.

    A number's decimal points stand below each other; codes and texts run over several lines where room is scarce, and
    texts take what is left over.
    """

    title: str
    cells: Sequence[str | None]
    kind: Literal["text", "code", "number"] = "text"


class _Laid:
    """A column with what it would like to have, without its pads, and in the end what it gets: `x`, `width`, `head`."""

    x = width = 0.0
    head: Sequence[str] = ()

    def __init__(self, sheet: Sheet, column: Column, ink: Ink, *, behind_number: bool) -> None:
        self.column, self.number = column, column.kind == "number"
        self.lead = _LEAD if behind_number and not self.number else 0.0
        parts = dict.fromkeys(part for cell in column.cells for part in (cell or "").split("\n") if part)
        clean = {part: sheet.clean(part) for part in parts}
        self.texts = {part: sheet.measure(text, ink) for part, text in clean.items()}
        self.fraction, self.natural = 0.0, max(self.texts.values(), default=0.0)
        if self.number:
            divided = [(text.removesuffix(fraction_of(text)), fraction_of(text)) for text in clean.values()]
            self.fraction = max((sheet.measure(fraction, ink) for _, fraction in divided), default=0.0)
            self.natural = self.fraction + max((sheet.measure(whole, ink) for whole, _ in divided), default=0.0)
        self.title, self.title_least = _title_widths(column.title)

    @property
    def whole(self) -> float:
        """Width with which nothing in it needs a second line."""
        return max(self.natural, self.title)

    @property
    def bulk(self) -> float:
        """Width of its longest cell, written on one line."""
        return max(sum(self.texts.get(part, 0.0) for part in (cell or "").split("\n")) for cell in self.column.cells)

    def longest_word(self, sheet: Sheet, ink: Ink, *, most: float = math.inf) -> float:
        """Width of the longest word that is no wider than `most`."""
        words = {word for text in self.texts for word in sheet.clean(text).split(" ")}
        return max((width for word in words if (width := sheet.measure(word, ink)) <= most), default=0.0)


class Table:
    """Rows under a heading that is repeated on every page; columns that hold nothing are left out."""

    def __init__(self, columns: Iterable[Column], *, x: float, width: float) -> None:
        self.columns = [column for column in columns if any(column.cells)]
        self._x, self._width = x, width
        self._ink, self._pad_x, self._pad_y = CELL, PAD_X, _PADS_Y[0]
        self._laid: list[_Laid] = []
        self._below_head = 0.0

    def draw(self, flow: Flow, *, tail_mm: float = 0.0, all_mm: float = 0.0) -> None:
        """
        Draw the table, over as many pages as it takes; its rows come closer if that saves a page.

        `all_mm` is the height of all that follows, `tail_mm` of the part that shall not stand alone on a page: the last
        rows go along with it.
        """
        if not self.columns:
            return
        rows, head = self._measure(flow.sheet)
        self._pad_y = self._choose_pad(flow, [len(lines) for lines in rows], (tail_mm, all_mm), head)
        heights = [self._height(len(lines)) for lines in rows]
        flow.need(head + (heights[0] if heights[0] + head <= flow.page_room_mm else self._ink.line_mm))
        over = self._first_row_to_carry(flow, heights, tail_mm, head)
        if over == 0 and not flow.fresh:
            flow.next_page()
        self._put_head(flow, head)
        for index, (row, height) in enumerate(zip(rows, heights, strict=True)):
            if (index and index == over) or (height > flow.room_mm and height + head <= flow.page_room_mm):
                self._turn(flow, head)
            rest = row
            while self._height(len(rest)) > flow.room_mm + _SLACK:  # a row taller than a page
                fitting = int((flow.room_mm - 2 * self._pad_y) / self._ink.line_mm)
                if fitting > 0:
                    self._put(flow, rest[:fitting])
                    rest = rest[fitting:]
                self._turn(flow, head)
            self._put(flow, rest)
        self._end(flow.sheet, flow.y)

    def pieces(self, sheet: Sheet) -> list[Piece]:
        """Return the table as pieces, for a column; its heading is not repeated."""
        rows, head = self._measure(sheet)

        def row(lines: list[tuple[str, ...]], y: float, *, first: bool, last: bool) -> None:
            self._row(sheet, y, lines, rule=first)
            if last:
                self._end(sheet, y + self._height(len(lines)))

        pieces = [Piece(head, lambda y: self._head(sheet, y, head), keep=True)]
        for index, lines in enumerate(rows):
            for start in range(0, max(1, len(lines)), _PART):
                part = lines[start : start + _PART]
                last = index == len(rows) - 1 and start + _PART >= len(lines)
                draw = partial(row, part, first=index > 0 and start == 0, last=last)
                pieces.append(Piece(self._height(len(part)), draw))
        return pieces

    def _height(self, lines: int) -> float:
        return max(lines, 1) * self._ink.line_mm + 2 * self._pad_y

    def _choose_pad(self, flow: Flow, counts: Sequence[int], tails_mm: Sequence[float], head: float) -> float:
        """Return the widest pad of a row that leads to as few pages as the narrowest one does."""

        def pages(pad: float) -> list[int]:
            heights = [max(lines, 1) * self._ink.line_mm + 2 * pad for lines in counts]
            count, y, _ = _run_down(flow, heights, head)
            return [count + (y + tail > flow.bottom) for tail in tails_mm]

        fewest = pages(_PADS_Y[-1])
        return next(pad for pad in _PADS_Y if pages(pad) == fewest)

    def _first_row_to_carry(self, flow: Flow, heights: Sequence[float], tail_mm: float, head: float) -> int | None:
        """Return the row before which a page has to end so that the tail is not alone; None if it will not be."""
        pages, y, on_page = _run_down(flow, heights, head)
        alone = pages > 1 and on_page < _KEPT_ROWS
        if y + tail_mm <= flow.bottom and not alone:
            return None
        carried = accumulate(reversed(heights[-_KEPT_ROWS:]), initial=tail_mm + head)
        count = sum(height <= flow.page_room_mm for height in carried) - 1
        return len(heights) - count if count > 0 else None

    def _turn(self, flow: Flow, head: float) -> None:
        self._end(flow.sheet, flow.y)
        flow.next_page()
        self._put_head(flow, head)

    def _put_head(self, flow: Flow, height: float) -> None:
        self._head(flow.sheet, flow.y, height)
        flow.y += height
        self._below_head = flow.y

    def _put(self, flow: Flow, lines: Sequence[Sequence[str]]) -> None:
        self._row(flow.sheet, flow.y, lines, rule=flow.y != self._below_head)
        flow.y += self._height(len(lines))

    def _head(self, sheet: Sheet, y: float, height: float) -> None:
        sheet.tint(self._x, y, self._width, height, grey=_HEAD_GREY)
        sheet.rule(self._x, y, self._width, weight_mm=_EDGE_MM, grey=_EDGE_GREY)
        for laid in self._laid:
            x = laid.x + (laid.width - self._pad_x if laid.number else self._pad_x)
            top = y + height - _HEAD_PAD - len(laid.head) * HEADING.line_mm
            sheet.write_lines(x, top, laid.head, HEADING, align="right" if laid.number else "left")
        self._end(sheet, y + height)

    def _row(self, sheet: Sheet, y: float, rows: Sequence[Sequence[str]], *, rule: bool) -> None:
        if rule:
            sheet.rule(self._x, y, self._width, weight_mm=0.1, grey=_RULE_GREY)
        y += self._pad_y
        for lines in rows:
            for laid, text in zip(self._laid, lines, strict=True):
                if text and laid.number:
                    own = sheet.measure(fraction_of(text), self._ink) if laid.fraction else 0.0
                    right = laid.x + laid.width - self._pad_x - max(0.0, laid.fraction - own)
                    sheet.write(right, y, text, self._ink, align="right")
                elif text:
                    sheet.write(laid.x + self._pad_x, y, text, self._ink)
            y += self._ink.line_mm

    def _end(self, sheet: Sheet, y: float) -> None:
        sheet.rule(self._x, y, self._width, weight_mm=_EDGE_MM, grey=_EDGE_GREY)

    def _measure(self, sheet: Sheet) -> tuple[list[list[tuple[str, ...]]], float]:
        """Return each row's lines across all columns, and the height of the heading."""
        before = False
        for column in self.columns:
            self._laid.append(_Laid(sheet, column, self._ink, behind_number=before))
            before = column.kind == "number"
        widths = self._spread() or self._squeeze(sheet)
        x, scale = self._x, self._ink.size_pt / CELL.size_pt
        cells = []
        for laid, width in zip(self._laid, widths, strict=True):
            laid.x, laid.width, room = x + laid.lead, width, width - 2 * self._pad_x
            laid.fraction = laid.fraction * scale if laid.natural * scale <= room + _SLACK else 0.0
            laid.head = sheet.wrap(laid.column.title, room, HEADING)
            x = laid.x + width
            fitting = {text: [sheet.clean(text)] for text, natural in laid.texts.items() if natural * scale < room}
            paragraphs = ((text or "").split("\n") for text in laid.column.cells)
            cells.append(
                [
                    [line for text in texts for line in fitting.get(text) or sheet.wrap(text, room, self._ink)]
                    for texts in paragraphs
                ]
            )
        rows = [list(zip_longest(*row, fillvalue="")) for row in zip(*cells, strict=True)]
        return rows, max(len(laid.head) for laid in self._laid) * HEADING.line_mm + 2 * _HEAD_PAD

    @property
    def _room(self) -> float:
        return self._width - sum(laid.lead for laid in self._laid) - 2 * self._pad_x * len(self._laid)

    def _spread(self) -> list[float]:
        """Return widths with which no cell needs a second line; nothing if there is no room for that."""
        spare = self._room - sum(laid.whole for laid in self._laid)
        if spare < 0:
            return []
        # what short texts leave over goes in part to the other columns, so that they do not crowd at one side
        texts = sum(laid.column.kind == "text" for laid in self._laid)
        others = len(self._laid) - texts
        extra = min(spare * _SPREAD / max(1, others), _EXTRA_MOST) if texts else spare / others
        more = {"text": (spare - extra * others) / texts if texts else 0.0}
        return [laid.whole + 2 * self._pad_x + more.get(laid.column.kind, extra) for laid in self._laid]

    def _squeeze(self, sheet: Sheet) -> list[float]:
        """
        Return widths where texts need several lines: numbers get what they need and no more, the others the rest.

        No column is narrower than its longest word; only where even that is too much are the longest words broken.
        """
        columns = self._laid
        words = [one.natural if one.number else one.longest_word(sheet, self._ink) for one in columns]
        if sum(one.natural for one in columns if one.number) > self._room * _NUMBERS_MOST:
            self._pad_x = _NARROW_PAD
        least, scale = [max(word, one.title_least) for word, one in zip(words, columns, strict=True)], 1.0
        if sum(least) > self._room:
            scale, self._pad_x = _SMALL_CELL.size_pt / self._ink.size_pt, _NARROWEST_PAD
            self._ink = _SMALL_CELL
            least = [max(word * scale, one.title_least) for word, one in zip(words, columns, strict=True)]
        room = self._room
        self._break_longest(sheet, least)
        most = [
            width if one.number else max(one.natural * scale, width) for one, width in zip(columns, least, strict=True)
        ]
        weights = [one.bulk**0.5 for one in columns]

        def widths(level: float) -> list[float]:
            limits = zip(weights, least, most, strict=True)
            return [min(max(weight * level, at_least), at_most) for weight, at_least, at_most in limits]

        given = _fill(widths, room)
        left = (room - sum(given)) / len(given)
        return [width + left + 2 * self._pad_x for width in given]

    def _break_longest(self, sheet: Sheet, least: list[float]) -> None:
        """Take from the columns with the longest words, numbers last, until all fit; shorter words stay whole."""
        room, broken = self._room, []
        for index in sorted(range(len(least)), key=lambda one: (self._laid[one].number, -least[one])):
            if sum(least) <= room:
                break
            least[index] = min(self._laid[index].title_least, room / len(least))
            broken.append(index)
        for index in reversed(broken):
            laid, possible = self._laid[index], room - sum(least) + least[index]
            word = possible if laid.number else laid.longest_word(sheet, self._ink, most=possible)
            least[index] = word if laid.number else max(least[index], word)


def _run_down(flow: Flow, heights: Sequence[float], head: float) -> tuple[int, float, int]:
    """Return how many pages rows take from here, where they end, and how many of them stand on the last page."""
    pages, y, on_page = 1, flow.y + head, 0
    for height in heights:
        if y + height > flow.bottom and on_page:
            pages, y, on_page = pages + 1, flow.next_top + head, 0
        y += height
        on_page += 1
    return pages, y, on_page


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


def _fill(widths: Callable[[float], list[float]], room: float) -> list[float]:
    """Return the widths at the highest level at which they fit into the room; they never shrink as the level rises."""
    low, high = 0.0, 1.0
    while sum(widths(high)) < room and high < room:
        high *= 2
    if sum(widths(high)) <= room:
        return widths(high)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if sum(widths(middle)) <= room else (low, middle)
    return widths(low)


def fraction_of(text: str) -> str:
    """Return what stands right of where the decimal point is, the point included: `.50` of 12.50, nothing of 12."""
    place = text.rfind(".")
    return text[place:] if place >= 0 else ""
