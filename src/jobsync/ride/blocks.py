"""Parts of the page that several documents share: the two boxes on top, named fields, tables, totals, named texts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta, timezone
from functools import partial
from itertools import product, zip_longest

from jobsync.fiscal import codes
from jobsync.fiscal.document import Document, Field
from jobsync.fiscal.element import Amount
from jobsync.ride.figures import money
from jobsync.ride.model import Stamp
from jobsync.ride.paper import barcode
from jobsync.ride.paper.flow import PAD_X, Column, Flow, Piece, Table, fraction_of
from jobsync.ride.paper.sheet import HEIGHT_MM, Ink, Sheet

# The frame, in mm: margins, and the two boxes beside each other.
LEFT, RIGHT, TOP, BOTTOM = 10.0, 200.0, 10.0, 283.5
WIDTH = RIGHT - LEFT
GAP = 3.0
KEY_BOX = 93.0  # 321 modules, their quiet zones, and room
ISSUER_BOX = WIDTH - KEY_BOX - GAP
TOTALS_WIDTH = 66.0
_AMOUNT_MOST = TOTALS_WIDTH * 0.6
NOTES_WIDTH = WIDTH - TOTALS_WIDTH - 5.0
RADIUS = 1.4
PAD = 3.2
SIGN_HEIGHT_MIN, SIGN_HEIGHT_MAX = 18.0, 34.0  # of a logo, or of the name in its place
SLACK_MOST = 1.6  # that a gap between two texts of a box may grow by, to fill the box
RUNNING_HEAD = 9.0
BANNER = 8.0
BAR_HEIGHT = 12.5
_NAME_LINES = 2
HEAD_TEXT_MAX = 400  # characters; the schema allows 300
HEAD_CODE_MAX = 120  # of what the schema wants short

TITLE = Ink(14, bold=True)
LONG_TITLE = Ink(12, bold=True)
NUMBER = Ink(11)
NAME = Ink(11, bold=True)
# a name in the place of a logo; the last one takes any number of lines
WORDMARKS = (Ink(18, bold=True), Ink(15, bold=True), Ink(12.5, bold=True))
TRADE_NAME = Ink(9)
LABEL = Ink(7, grey=0.25)
KEY_LABEL = Ink(9, grey=0.25)
VALUE = Ink(8)
STRONG = Ink(8, bold=True)
PARTY = Ink(9.5, bold=True)
SMALL = Ink(7)
KEY = Ink(10)
SECTION = Ink(7.2, bold=True)
WARNING = Ink(10.5, bold=True)
TOTAL = Ink(7.6)
GRAND_TOTAL = Ink(9.4, bold=True)

WITHOUT_AUTHORIZATION = "SIN AUTORIZACIÓN – SIN VALIDEZ TRIBUTARIA"
TEST_ENVIRONMENT = "AMBIENTE DE PRUEBAS – SIN VALIDEZ TRIBUTARIA"
_GUAYAQUIL = timezone(timedelta(hours=-5))  # mainland Ecuador, without daylight saving


@dataclass(frozen=True, slots=True)
class Entry:
    """A label with its value; `columns` of the twelve of a row are its own, and what is left if it is the last."""

    label: str
    value: str | None
    columns: int = 3
    ink: Ink = VALUE


@dataclass(frozen=True, slots=True)
class TotalLine:
    """One line of the totals; the last one is the grand total."""

    label: str
    amount: Amount
    grand: bool = False


# --- the frame -------------------------------------------------------------------------------------------------------


def marks(document: Document, stamp: Stamp) -> tuple[str, ...]:
    """Return what every page must say of a document that has no validity."""
    said = () if stamp.authorized else (WITHOUT_AUTHORIZATION,)
    return (*said, TEST_ENVIRONMENT) if document.environment == "test" else said


def begin(sheet: Sheet, document: Document, stamp: Stamp, *, title: str, logo_ratio: float | None) -> Flow:
    """
    Draw the marks and the two boxes of the first page; return the cursor below them.

    Args:
        title: what the document is called in the right box.
        logo_ratio: width by height of the picture above the issuer; None if there is none.
    """
    sheet.turn_to(0)
    top = TOP + len(marks(document, stamp)) * BANNER
    wordmark = _wordmark(sheet, document) if logo_ratio is None else []
    issuer = _issuer_pieces(sheet, document, named_above=bool(wordmark))
    key = _key_pieces(sheet, document, stamp, title)
    issuer_height, key_height = _height(issuer) + 2 * PAD, _height(key) + 2 * PAD
    sign_height = min(max(key_height - issuer_height - GAP, SIGN_HEIGHT_MIN), SIGN_HEIGHT_MAX)
    if logo_ratio is not None:
        width = min(ISSUER_BOX, sign_height * logo_ratio)
        tall = width / logo_ratio
        sheet.picture(LEFT + (ISSUER_BOX - width) / 2, top + (sign_height - tall) / 2, width, tall)
    else:
        sign_height = max(sign_height, _height(wordmark))
        _draw_pieces(wordmark, top + (sign_height - _height(wordmark)) / 2)
    height = max(key_height, sign_height + GAP + issuer_height)
    _box(sheet, LEFT, top + sign_height + GAP, ISSUER_BOX, height - sign_height - GAP, issuer)
    _box(sheet, LEFT + ISSUER_BOX + GAP, top, KEY_BOX, height, key)
    return Flow(sheet, top_mm=top + height + GAP, next_top_mm=top + RUNNING_HEAD, bottom_mm=BOTTOM)


def finish(sheet: Sheet, document: Document, stamp: Stamp, *, title: str) -> None:
    """Draw what needs the number of pages: marks, the short head of later pages, the foot."""
    said = marks(document, stamp)
    name = f"{title} {document.series_number or ''}".strip()
    for index in range(sheet.page_count):
        sheet.turn_to(index)
        for place, mark in enumerate(said):
            y = TOP - 2 + place * BANNER
            sheet.tint(LEFT, y, WIDTH, BANNER - 1.5, grey=0.88, radius=RADIUS)
            sheet.frame(LEFT, y, WIDTH, BANNER - 1.5, weight_mm=0.4, radius=RADIUS)
            sheet.write((LEFT + RIGHT) / 2, y + (BANNER - 1.5 - WARNING.line_mm) / 2, mark, WARNING, align="center")
        if index:
            y = TOP + len(said) * BANNER
            room = WIDTH - 45
            ruc = sheet.wrap(f"R.U.C. {document.issuer.ruc}", WIDTH - room - 3, SMALL)[0]
            sheet.write(RIGHT, y, ruc, SMALL, align="right")
            called_so = sheet.wrap(f"{name} · {document.issuer.name}", room, SECTION)[0].rstrip(" ·")
            sheet.write(LEFT, y, called_so, SECTION)
            sheet.rule(LEFT, y + 4.6, WIDTH, weight_mm=0.2, grey=0.35)
        y = HEIGHT_MM - 10.2
        sheet.rule(LEFT, y - 1.2, WIDTH, weight_mm=0.1, grey=0.7)
        if stamp.authorized:
            sheet.write(LEFT, y, "Consulte su validez en srienlinea.sri.gob.ec", LABEL)
        sheet.write(RIGHT, y, f"Página {index + 1} de {sheet.page_count}", LABEL, align="right")


def _height(pieces: Iterable[Piece]) -> float:
    return sum(piece.height_mm for piece in pieces)


def _box(sheet: Sheet, x: float, y: float, width: float, height: float, pieces: Sequence[Piece]) -> None:
    """Draw a box whose texts begin at its top; the gaps between them grow if there is room."""
    sheet.frame(x, y, width, height, radius=RADIUS)
    gaps = sum(piece.draw is None for piece in pieces)
    more = min(max(0.0, height - 2 * PAD - _height(pieces)) / max(1, gaps), SLACK_MOST)
    _draw_pieces(pieces, y + PAD, more)


def _draw_pieces(pieces: Iterable[Piece], y: float, more_mm: float = 0.0) -> None:
    for piece in pieces:
        if piece.draw is not None:
            piece.draw(y)
        else:
            y += more_mm
        y += piece.height_mm


def _wordmark(sheet: Sheet, document: Document) -> list[Piece]:
    """Return the name that stands where there is no logo: the trade name, else the issuer's own."""
    box = _Texts(sheet, LEFT + PAD, ISSUER_BOX - 2 * PAD)
    text = head_text(sheet, document.issuer.trade_name or document.issuer.name)
    for most, ink in product(range(1, _NAME_LINES + 1), WORDMARKS):
        lines = sheet.wrap(text, box.room, ink)
        if len(lines) <= most and " ".join(lines) == text:  # no word is broken
            return box.text(text, ink).pieces
    return box.text(text, WORDMARKS[-1]).pieces


def _issuer_pieces(sheet: Sheet, document: Document, *, named_above: bool) -> list[Piece]:
    issuer = document.issuer
    box = _Texts(sheet, LEFT + PAD, ISSUER_BOX - 2 * PAD)
    named = issuer.trade_name or issuer.name if named_above else None
    for name, ink in ((issuer.name, NAME), (issuer.trade_name, TRADE_NAME)):
        if name and name != named and not (box.pieces and name == issuer.name):
            smaller = len(sheet.wrap(name, box.room, ink)) > _NAME_LINES
            box.text(name, replace(ink, size_pt=VALUE.size_pt) if smaller else ink)
    if box.pieces:
        box.gap(1.4)
    box.labelled("Dirección Matriz:", issuer.head_office, most=HEAD_TEXT_MAX)
    box.labelled("Dirección Sucursal:", issuer.branch, most=HEAD_TEXT_MAX)
    box.labelled("Contribuyente Especial Nro.", issuer.special_taxpayer)
    box.labelled("OBLIGADO A LLEVAR CONTABILIDAD:", issuer.keeps_accounts)
    box.labelled("Agente de Retención Resolución No.", issuer.withholding_agent)
    for legend in (issuer.rimpe, issuer.micro_enterprise, issuer.rise):
        if legend:
            box.text(legend, STRONG, most=HEAD_CODE_MAX).gap(0.7)
    return box.pieces[:-1]


def _key_pieces(sheet: Sheet, document: Document, stamp: Stamp, title: str) -> list[Piece]:
    box = _Texts(sheet, LEFT + ISSUER_BOX + GAP + PAD, KEY_BOX - 2 * PAD)
    box.labelled("R.U.C.:", document.issuer.ruc, label_ink=KEY_LABEL, ink=Ink(11, bold=True))
    for line in _title(sheet, box.room, title):
        box.line(line, TITLE if line == title else LONG_TITLE)
    box.labelled("No.", document.series_number, label_ink=KEY_LABEL, ink=NUMBER)
    box.gap(0.8)
    called = "CLAVE DE ACCESO"
    if not stamp.authorized:
        box.stacked("NÚMERO DE AUTORIZACIÓN", "SIN AUTORIZACIÓN", STRONG)
    elif stamp.number and stamp.number != document.access_key:  # before 2018
        number = sheet.clean(stamp.number)
        box.stacked("NÚMERO DE AUTORIZACIÓN", number, sheet.shrink(number, box.room, KEY))
    else:
        called = "NÚMERO DE AUTORIZACIÓN Y CLAVE DE ACCESO"
    if stamp.authorized:
        at = stamp.authorized_at
        when = at.astimezone(_GUAYAQUIL).strftime("%d/%m/%Y %H:%M:%S") if at else stamp.authorized_at_text
        box.stacked("FECHA Y HORA DE AUTORIZACIÓN", when, VALUE)
    emission = document.emission_type or "1"
    environment = {"test": "PRUEBAS", "production": "PRODUCCIÓN"}.get(document.environment or "")
    box.beside(("AMBIENTE:", environment), ("EMISIÓN:", codes.EMISSIONS.get(emission, emission)))
    box.gap(0.4)
    box.line(called, LABEL)
    _add_access_key(box, document.access_key)
    return box.pieces


def _title(sheet: Sheet, room: float, title: str) -> list[str]:
    """Return the title on one line, or on several of about the same length."""
    if sheet.measure(title, TITLE) <= room:
        return [title]
    fewest = len(sheet.wrap(title, room, LONG_TITLE))
    narrower = (sheet.wrap(title, room * percent / 100, LONG_TITLE) for percent in range(50, 105, 5))
    return next(even for even in narrower if len(even) == fewest)


def _add_access_key(box: _Texts, text: str) -> None:
    sheet, key = box.sheet, box.sheet.clean(text) or "NO CONSTA"
    if not is_key(text):
        box.text(key, sheet.shrink(key, box.room, KEY))
        return
    widths, module = barcode.code128(text), barcode.MODULE_MM
    wide, middle = sum(widths) * module, box.x - PAD + KEY_BOX / 2
    left = round((middle - wide / 2) / module) * module
    ink = sheet.shrink(key, wide, KEY)
    box.pieces.append(Piece(BAR_HEIGHT + 1.3, lambda y: sheet.bars(left, y + 0.5, BAR_HEIGHT, module, widths)))
    box.pieces.append(Piece(ink.line_mm, lambda y: sheet.write(middle, y, key, ink, align="center")))


def is_key(text: str) -> bool:
    """Whether the text has the shape of an access key, so that a barcode can carry it."""
    return len(text) == 49 and text.isascii() and text.isdigit()


# --- texts as pieces -------------------------------------------------------------------------------------------------


def head_text(sheet: Sheet, text: str | None, *, most: int = HEAD_TEXT_MAX) -> str:
    """Return a text for the boxes; one far longer than the schema allows is cut, visibly and with a warning."""
    text = sheet.clean(text)
    if len(text) <= most:
        return text
    sheet.shortened = True
    return text[:most] + "…"


class _Texts:
    """What stands below each other in a box, as pieces; texts that are absent leave no room."""

    def __init__(self, sheet: Sheet, x: float, room: float) -> None:
        self.sheet, self.x, self.room = sheet, x, room
        self.pieces: list[Piece] = []

    def gap(self, height: float) -> None:
        self.pieces.append(Piece(height, None))

    def line(self, text: str, ink: Ink) -> None:
        self.pieces.append(Piece(ink.line_mm, lambda y: self.sheet.write(self.x, y, text, ink)))

    def text(self, text: str | None, ink: Ink, *, most: int = HEAD_TEXT_MAX) -> _Texts:
        for line in self.sheet.wrap(head_text(self.sheet, text, most=most), self.room, ink):
            self.line(line, ink)
        return self

    def stacked(self, label: str, text: str | None, ink: Ink) -> None:
        if text:
            self.line(label, LABEL)
            self.text(text, ink, most=HEAD_CODE_MAX).gap(0.9)

    def labelled(
        self, label: str, text: str | None, *, label_ink: Ink = LABEL, ink: Ink = VALUE, most: int = HEAD_CODE_MAX
    ) -> None:
        indent = self.sheet.measure(label, label_ink) + 1.6
        lines = self.sheet.wrap(head_text(self.sheet, text, most=most), self.room - indent, ink)
        drop = (ink.size_pt - label_ink.size_pt) * 0.9 / 2.8346  # both on one baseline

        def draw(line: str, y: float, *, first: bool) -> None:
            if first:
                self.sheet.write(self.x, y + drop, label, label_ink)
            self.sheet.write(self.x + indent, y, line, ink)

        for index, line in enumerate(lines):
            self.pieces.append(Piece(ink.line_mm, partial(draw, line, first=index == 0)))
        if lines:
            self.gap(0.7)

    def beside(self, *pairs: tuple[str, str | None]) -> None:
        """Add labels with their values on one line, or on one line each if they are too long for that."""
        sheet = self.sheet
        shown = [(label, head_text(sheet, text, most=HEAD_CODE_MAX)) for label, text in pairs if text]
        share = self.room / max(1, len(shown))
        if any(sheet.measure(label, LABEL) + 3 + sheet.measure(text, VALUE) > share for label, text in shown):
            for label, text in shown:
                self.labelled(label, text)
            return
        boxes = [_Texts(sheet, self.x + index * share, share) for index in range(len(shown))]
        for box, (label, text) in zip(boxes, shown, strict=True):
            box.labelled(label, text)

        def draw(y: float) -> None:
            for box in boxes:
                _draw_pieces(box.pieces[:1], y)

        self.pieces.append(Piece(VALUE.line_mm, draw))
        self.gap(0.9)


# --- named fields ----------------------------------------------------------------------------------------------------

_FieldRow = tuple[float, list[tuple[float, Entry, list[str]]]]  # its height; of each value its place and lines


def draw_fields(flow: Flow, *entries: Entry, title: str | None = None) -> None:
    """
    Draw labelled values in a box, in rows of twelve columns.

    Values that are absent leave no room: the others of their row move up. Without any value there is no box.
    """
    heading = SECTION.line_mm + 0.8 if title else 0.0
    room = flow.page_room_mm - heading - 2 * PAD
    rows: list[list[Entry]] = [[]]
    for entry in entries:
        rows[-1].append(entry)
        if sum(one.columns for one in rows[-1]) >= 12:
            rows.append([])
    box: list[_FieldRow] = []  # one, unless the rows take more than a page
    for row in rows:
        height, cells = _lay_row(flow.sheet, [entry for entry in row if entry.value and entry.value.strip()])
        if cells and box and sum(high for high, _ in box) + height > room:
            _draw_field_box(flow, box, title, heading)
            box, title, heading = [], None, 0.0
        if cells:
            box.append((height, cells))
    if box:
        _draw_field_box(flow, box, title, heading)


def _lay_row(sheet: Sheet, row: Sequence[Entry]) -> _FieldRow:
    place, tall, cells, inner = 0, 0.0, [], WIDTH - 2 * PAD
    for index, entry in enumerate(row, 1):
        columns = entry.columns if index < len(row) else 12 - place
        lines = sheet.wrap(head_text(sheet, entry.value), inner * columns / 12 - 3, entry.ink)
        cells.append((LEFT + PAD + inner * place / 12, entry, lines))
        tall = max(tall, len(lines) * entry.ink.line_mm)
        place += columns
    return LABEL.line_mm + tall + 1.2, cells


def _draw_field_box(flow: Flow, rows: Sequence[_FieldRow], title: str | None, heading: float) -> None:
    sheet = flow.sheet
    height = heading + sum(high for high, _ in rows) + 2 * PAD - 2.4
    flow.need(height)
    sheet.frame(LEFT, flow.y, WIDTH, height, radius=RADIUS)
    y = flow.y + PAD - 0.8
    if title:
        sheet.write(LEFT + PAD, y, title, SECTION)
        y += heading
    for high, cells in rows:
        for x, entry, lines in cells:
            sheet.write(x, y, entry.label, LABEL)
            sheet.write_lines(x, y + LABEL.line_mm, lines, entry.ink)
        y += high
    flow.y += height + GAP


# --- lines, and what stands below them -------------------------------------------------------------------------------


def table(*columns: Column) -> Table:
    """Return a table as wide as the page."""
    return Table(columns, x=LEFT, width=WIDTH)


def draw_lines(flow: Flow, lines: Table, totals: Sequence[Piece], notes: Sequence[Piece]) -> None:
    """Draw a document's lines, and below them its totals beside its notes; the totals never stand alone on a page."""
    height = _height(totals) + GAP
    lines.draw(flow, tail_mm=height, all_mm=max(height, _height(notes) + GAP))
    flow.y += GAP
    flow.pour(totals, notes)


def total_pieces(sheet: Sheet, totals: Sequence[TotalLine], *, currency: str | None = None) -> list[Piece]:
    """Return the totals, decimal points below each other, and their currency, as one group that no page divides."""
    texts = [sheet.clean(money(line.amount)) for line in totals]
    widest = max((sheet.measure(text, TOTAL) for text in texts), default=0.0)
    room = min(max(widest, 14.0), _AMOUNT_MOST)
    fractions = [fraction_of(text) for line, text in zip(totals, texts, strict=True) if not line.grand]
    fraction = max((sheet.measure(text, TOTAL) for text in fractions), default=0.0) if widest <= room else 0.0
    pieces = [
        _total_piece(sheet, line, text, room, fraction, first=line is totals[0])
        for line, text in zip(totals, texts, strict=True)
    ]
    if pieces and currency:
        said = sheet.wrap(f"Moneda: {head_text(sheet, currency, most=HEAD_CODE_MAX)}", TOTALS_WIDTH - 2 * PAD_X, LABEL)

        def draw(y: float) -> None:
            sheet.write_lines(RIGHT - PAD_X, y + 1, said, LABEL, align="right")

        pieces.append(Piece(1 + len(said) * LABEL.line_mm, draw))
    return [*pieces[:-1], replace(pieces[-1], keep=False)] if pieces else []


def _total_piece(sheet: Sheet, line: TotalLine, text: str, room: float, fraction: float, *, first: bool) -> Piece:
    label_ink = GRAND_TOTAL if line.grand else TOTAL
    labels = sheet.wrap(head_text(sheet, line.label), TOTALS_WIDTH - room - 2 * PAD_X - 2, label_ink)
    ink = sheet.shrink(text, _AMOUNT_MOST, label_ink)
    values = sheet.wrap(text, _AMOUNT_MOST, ink)
    label_height, value_height = len(labels) * label_ink.line_mm, len(values) * ink.line_mm
    height = max(label_height, value_height) + (2.4 if line.grand else 1.1)
    moved = max(0.0, fraction - sheet.measure(fraction_of(text), ink)) if fraction and not line.grand else 0.0

    def draw(y: float) -> None:
        x, strong = RIGHT - TOTALS_WIDTH, first or line.grand
        if line.grand:
            sheet.tint(x, y, TOTALS_WIDTH, height, grey=0.9)
        sheet.rule(x, y, TOTALS_WIDTH, weight_mm=0.2 if strong else 0.1, grey=0.35 if strong else 0.78)
        sheet.write_lines(x + PAD_X, y + (height - label_height) / 2, labels, label_ink)
        sheet.write_lines(RIGHT - PAD_X - moved, y + (height - value_height) / 2, values, ink, align="right")
        if line.grand:
            sheet.rule(x, y + height, TOTALS_WIDTH, weight_mm=0.35, grey=0.2)

    return Piece(height, draw, keep=True)


def information_pieces(sheet: Sheet, fields: Sequence[Field], title: str = "Información Adicional") -> list[Piece]:
    """Return named texts below each other, a line a piece, so that any length runs on."""
    if not fields:
        return []

    def draw_title(y: float) -> None:
        sheet.write(LEFT, y, title, SECTION)
        sheet.rule(LEFT, y + SECTION.line_mm + 0.4, NOTES_WIDTH, weight_mm=0.2, grey=0.35)

    def draw(name: str, ink: Ink, value: str, x: float, y: float) -> None:
        sheet.write(LEFT, y, name, ink)
        sheet.write(x, y, value, SMALL)

    pieces = [Piece(SECTION.line_mm + 1.2, draw_title, keep=True)]
    texts = [(sheet.clean(field.name), sheet.clean(field.value)) for field in fields]
    narrow = max((sheet.measure(name, LABEL) for name, value in texts if value), default=0.0)
    indent = min(narrow, NOTES_WIDTH * 0.3) + 3
    for name, value in texts:
        left = sheet.wrap(name, indent - 3, LABEL) if value else sheet.wrap(name, NOTES_WIDTH, SMALL)
        before = indent if name else 0.0
        lines = list(zip_longest(left, sheet.wrap(value, NOTES_WIDTH - before, SMALL), fillvalue=""))
        for index, (one, other) in enumerate(lines):
            put = partial(draw, one, LABEL if value else SMALL, other, LEFT + before)
            pieces.append(Piece(SMALL.line_mm, put, keep=index < len(lines) - 1 and len(lines) <= 12))
        pieces.append(Piece(0.5, None))
    return [*pieces, Piece(2.0, None)]


def small_table(sheet: Sheet, *columns: Column, title: str | None = None) -> list[Piece]:
    """Return a table for the left column below the lines."""
    the_table = Table(columns, x=LEFT, width=NOTES_WIDTH)
    if not the_table.columns:
        return []
    head = [Piece(SECTION.line_mm + 0.6, lambda y: sheet.write(LEFT, y, title or "", SECTION), keep=True)]
    return [*(head if title else ()), *the_table.pieces(sheet), Piece(3.0, None)]
