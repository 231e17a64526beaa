"""Parts that several documents share: the two boxes on top, named fields, totals, payments, additional information."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta, timezone
from functools import partial

from jobsync.fiscal import codes
from jobsync.fiscal.document import (
    Compensation,
    CreditNote,
    DebitNote,
    Document,
    Field,
    FiscalMachine,
    Line,
    Payment,
    Reimbursement,
    ReimbursementTotals,
)
from jobsync.fiscal.element import Amount
from jobsync.ride.figures import digits, exact, has_value, money, percent
from jobsync.ride.model import Stamp
from jobsync.ride.paper import barcode
from jobsync.ride.paper.flow import PAD_X, Filled, Flow, Piece, Table, TableColumn
from jobsync.ride.paper.sheet import HEIGHT_MM, Ink, Sheet

# The frame, in mm: margins, and the two boxes beside each other.
LEFT, RIGHT, TOP, BOTTOM = 10.0, 200.0, 10.0, 283.5
WIDTH = RIGHT - LEFT
GAP = 3.0
KEY_BOX = 93.0  # 321 modules, their quiet zones, and room
ISSUER_BOX = WIDTH - KEY_BOX - GAP
TOTALS_WIDTH = 66.0
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
WORDMARK_SIZES = (18.0, 15.0, 12.5)  # of a name in the place of a logo; the last one takes any number of lines
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
FOOT = Ink(7, grey=0.25)
TOTAL = Ink(7.6)
GRAND_TOTAL = Ink(9.4, bold=True)
LEAST_PT = 7.0

WITHOUT_AUTHORIZATION = "SIN AUTORIZACIÓN – SIN VALIDEZ TRIBUTARIA"
TEST_ENVIRONMENT = "AMBIENTE DE PRUEBAS – SIN VALIDEZ TRIBUTARIA"
_GUAYAQUIL = timezone(timedelta(hours=-5))  # mainland Ecuador, without daylight saving


@dataclass(frozen=True, slots=True)
class Entry:
    """
    A label with its value.

    Args:
        columns: how many of the twelve of a row are its own; what is left too if it is the last.
        ink: what the value is written with.
    """

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
        _place_logo(sheet, top, sign_height, logo_ratio)
    else:
        sign_height = max(sign_height, _height(wordmark))
        _draw_pieces(wordmark, top + (sign_height - _height(wordmark)) / 2)
    height = max(key_height, sign_height + GAP + issuer_height)
    _box(sheet, LEFT, top + sign_height + GAP, ISSUER_BOX, height - sign_height - GAP, issuer)
    _box(sheet, LEFT + ISSUER_BOX + GAP, top, KEY_BOX, height, key)
    return Flow(
        sheet,
        top_mm=top + height + GAP,
        next_top_mm=TOP + len(marks(document, stamp)) * BANNER + RUNNING_HEAD,
        bottom_mm=BOTTOM,
    )


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
            sheet.write(LEFT, y, "Consulte su validez en srienlinea.sri.gob.ec", FOOT)
        sheet.write(RIGHT, y, f"Página {index + 1} de {sheet.page_count}", FOOT, align="right")


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


def _place_logo(sheet: Sheet, top: float, height: float, ratio: float) -> None:
    width = min(ISSUER_BOX, height * ratio)
    tall = width / ratio
    sheet.picture(LEFT + (ISSUER_BOX - width) / 2, top + (height - tall) / 2, width, tall)


def _wordmark(sheet: Sheet, document: Document) -> list[Piece]:
    """Return the name that stands where there is no logo: the trade name, else the issuer's own."""
    x, room = LEFT + PAD, ISSUER_BOX - 2 * PAD
    text = head_text(sheet, document.issuer.trade_name or document.issuer.name)
    for most in range(1, _NAME_LINES + 1):
        for size in WORDMARK_SIZES:
            ink = Ink(size, bold=True)
            lines = sheet.wrap(text, room, ink)
            if len(lines) <= most and " ".join(lines) == text:  # no word is broken
                return [_line(sheet, x, line, ink) for line in lines]
    return _text(sheet, x, room, text, Ink(WORDMARK_SIZES[-1], bold=True))


def _issuer_pieces(sheet: Sheet, document: Document, *, named_above: bool) -> list[Piece]:
    issuer = document.issuer
    x, room = LEFT + PAD, ISSUER_BOX - 2 * PAD
    named = issuer.trade_name or issuer.name if named_above else None
    pieces: list[Piece] = []
    for name, ink in ((issuer.name, NAME), (issuer.trade_name, TRADE_NAME)):
        if name and name != named and not (pieces and name == issuer.name):
            pieces += _text(sheet, x, room, name, _modest(sheet, name, room, ink))
    if pieces:
        pieces.append(_blank(1.4))
    pieces += _labelled(sheet, x, room, "Dirección Matriz:", issuer.head_office, most=HEAD_TEXT_MAX)
    pieces += _labelled(sheet, x, room, "Dirección Sucursal:", issuer.branch, most=HEAD_TEXT_MAX)
    pieces += _labelled(sheet, x, room, "Contribuyente Especial Nro.", issuer.special_taxpayer)
    pieces += _labelled(sheet, x, room, "OBLIGADO A LLEVAR CONTABILIDAD:", issuer.keeps_accounts)
    pieces += _labelled(sheet, x, room, "Agente de Retención Resolución No.", issuer.withholding_agent)
    legends = [legend for legend in (issuer.rimpe, issuer.micro_enterprise, issuer.rise) if legend]
    for legend in legends:
        pieces += [*_text(sheet, x, room, legend, STRONG, most=HEAD_CODE_MAX), _blank(0.7)]
    return pieces[:-1]


def _modest(sheet: Sheet, text: str, room: float, ink: Ink) -> Ink:
    """Return the ink, smaller for a name that would take more than two lines."""
    return ink if len(sheet.wrap(text, room, ink)) <= _NAME_LINES else replace(ink, size_pt=VALUE.size_pt)


def _key_pieces(sheet: Sheet, document: Document, stamp: Stamp, title: str) -> list[Piece]:
    x, room = LEFT + ISSUER_BOX + GAP + PAD, KEY_BOX - 2 * PAD
    pieces = _labelled(sheet, x, room, "R.U.C.:", document.issuer.ruc, label_ink=KEY_LABEL, ink=Ink(11, bold=True))
    pieces += _title(sheet, x, room, title)
    if document.series_number:
        pieces += _labelled(sheet, x, room, "No.", document.series_number, label_ink=KEY_LABEL, ink=NUMBER)
    pieces.append(_blank(0.8))
    called = "CLAVE DE ACCESO"
    if not stamp.authorized:
        pieces += _stacked(sheet, x, room, "NÚMERO DE AUTORIZACIÓN", "SIN AUTORIZACIÓN", STRONG)
    elif stamp.number and stamp.number != document.access_key:  # before 2018
        number = sheet.clean(stamp.number)
        ink = sheet.shrink(number, room, KEY, least_pt=LEAST_PT)
        pieces += _stacked(sheet, x, room, "NÚMERO DE AUTORIZACIÓN", number, ink)
    else:
        called = "NÚMERO DE AUTORIZACIÓN Y CLAVE DE ACCESO"
    if stamp.authorized:
        pieces += _stacked(sheet, x, room, "FECHA Y HORA DE AUTORIZACIÓN", authorization_time(stamp), VALUE)
    emission = document.emission_type or "1"
    environment = {"test": "PRUEBAS", "production": "PRODUCCIÓN"}.get(document.environment or "")
    emission_name = codes.EMISSIONS.get(emission, emission)
    pieces += _beside(sheet, x, room, [("AMBIENTE:", environment), ("EMISIÓN:", emission_name)])
    return [*pieces, _blank(0.4), *_access_key(sheet, document.access_key, called)]


def _title(sheet: Sheet, x: float, room: float, title: str) -> list[Piece]:
    """Return the title on one line, or on several of about the same length."""
    if sheet.measure(title, TITLE) <= room:
        return [_line(sheet, x, title, TITLE)]
    lines = sheet.wrap(title, room, LONG_TITLE)
    for percent_of_room in range(50, 100, 5):
        even = sheet.wrap(title, room * percent_of_room / 100, LONG_TITLE)
        if len(even) == len(lines):
            lines = even
            break
    return [_line(sheet, x, line, LONG_TITLE) for line in lines]


def _access_key(sheet: Sheet, text: str, called: str) -> list[Piece]:
    """Return the key under its name, once in figures; as bars too if they can carry it."""
    x = LEFT + ISSUER_BOX + GAP
    key = sheet.clean(text)
    inner = KEY_BOX - 2 * PAD
    pieces = [_line(sheet, x + PAD, called, LABEL)]
    if is_key(text):
        widths = barcode.code128(text)
        module = barcode.MODULE_MM
        wide = sum(widths) * module
        left = round((x + (KEY_BOX - wide) / 2) / module) * module
        pieces.append(Piece(BAR_HEIGHT + 1.3, lambda y: sheet.bars(left, y + 0.5, BAR_HEIGHT, module, widths)))
        middle, ink = x + KEY_BOX / 2, sheet.shrink(key, wide, KEY, least_pt=LEAST_PT)
        pieces.append(Piece(ink.line_mm, lambda y: sheet.write(middle, y, key, ink, align="center")))
        return pieces
    text = key or "NO CONSTA"
    return pieces + _text(sheet, x + PAD, inner, text, sheet.shrink(text, inner, KEY, least_pt=LEAST_PT))


def is_key(text: str) -> bool:
    """Whether the text has the shape of an access key, so that a barcode can carry it."""
    return len(text) == 49 and text.isascii() and text.isdigit()


def authorization_time(stamp: Stamp) -> str | None:
    """Return when the document was authorized, on Guayaquil's clocks; an unreadable time as it was sent."""
    if stamp.authorized_at is None:
        return stamp.authorized_at_text
    return stamp.authorized_at.astimezone(_GUAYAQUIL).strftime("%d/%m/%Y %H:%M:%S")


# --- texts as pieces -------------------------------------------------------------------------------------------------


def head_text(sheet: Sheet, text: str | None, *, most: int = HEAD_TEXT_MAX) -> str:
    """Return a text for the boxes; one far longer than the schema allows is cut, visibly and with a warning."""
    text = sheet.clean(text)
    if len(text) <= most:
        return text
    sheet.shortened = True
    return text[:most] + "…"


def _blank(height: float) -> Piece:
    return Piece(height, None)


def _line(sheet: Sheet, x: float, text: str, ink: Ink) -> Piece:
    return Piece(ink.line_mm, lambda y: sheet.write(x, y, text, ink))


def _text(sheet: Sheet, x: float, room: float, text: str | None, ink: Ink, *, most: int = HEAD_TEXT_MAX) -> list[Piece]:
    return [_line(sheet, x, line, ink) for line in sheet.wrap(head_text(sheet, text, most=most), room, ink)]


def _labelled(
    sheet: Sheet,
    x: float,
    room: float,
    label: str,
    text: str | None,
    *,
    label_ink: Ink = LABEL,
    ink: Ink = VALUE,
    most: int = HEAD_CODE_MAX,
) -> list[Piece]:
    """Return a label with its value behind it; nothing for no value."""
    text = head_text(sheet, text, most=most)
    if not text:
        return []
    indent = sheet.measure(label, label_ink) + 1.6
    lines = sheet.wrap(text, room - indent, ink)
    drop = (ink.size_pt - label_ink.size_pt) * 0.9 / 2.8346  # both on one baseline

    def draw(line: str, y: float, *, first: bool) -> None:
        if first:
            sheet.write(x, y + drop, label, label_ink)
        sheet.write(x + indent, y, line, ink)

    pieces = [Piece(ink.line_mm, partial(draw, line, first=index == 0)) for index, line in enumerate(lines)]
    return [*pieces, _blank(0.7)]


def _stacked(sheet: Sheet, x: float, room: float, label: str, text: str | None, ink: Ink) -> list[Piece]:
    if not text:
        return []
    return [_line(sheet, x, label, LABEL), *_text(sheet, x, room, text, ink, most=HEAD_CODE_MAX), _blank(0.9)]


def _beside(sheet: Sheet, x: float, room: float, pairs: Sequence[tuple[str, str | None]]) -> list[Piece]:
    """Return labels with their values on one line, or on one line each if they are too long for that."""
    shown = [(label, head_text(sheet, text, most=HEAD_CODE_MAX)) for label, text in pairs if text]
    share = room / max(1, len(shown))
    if any(sheet.measure(label, LABEL) + 3 + sheet.measure(text, VALUE) > share for label, text in shown):
        return [piece for label, text in shown for piece in _labelled(sheet, x, room, label, text)]

    def draw(y: float) -> None:
        for index, (label, text) in enumerate(shown):
            for piece in _labelled(sheet, x + index * share, share, label, text)[:1]:
                if piece.draw is not None:
                    piece.draw(y)

    return [Piece(VALUE.line_mm, draw), _blank(0.9)]


# --- named fields ----------------------------------------------------------------------------------------------------


def draw_fields(flow: Flow, rows: Sequence[Sequence[Entry]], *, title: str | None = None) -> None:
    """Draw rows of labelled values in a box; values that are absent leave no room, and without any there is no box."""
    sheet = flow.sheet
    laid = [
        [(entry, head_text(sheet, entry.value)) for entry in row if entry.value and entry.value.strip()] for row in rows
    ]
    laid = [row for row in laid if row]
    if not laid:
        return
    inner = WIDTH - 2 * PAD
    drawn: list[_FieldRow] = []
    for row in laid:
        place, tall = 0, 0.0
        cells: list[_FieldCell] = []
        for index, (entry, text) in enumerate(row):
            columns = max(entry.columns, 12 - place) if index == len(row) - 1 else entry.columns
            lines = sheet.wrap(text, inner * columns / 12 - 3, entry.ink)
            cells.append((LEFT + PAD + inner * place / 12, entry, lines))
            tall = max(tall, len(lines) * entry.ink.line_mm)
            place += columns
        drawn.append((LABEL.line_mm + tall + 1.2, cells))
    heading = SECTION.line_mm + 0.8 if title else 0.0
    for rows_of_box in _boxfuls(drawn, flow.page_room_mm - heading - 2 * PAD):
        _draw_box(flow, rows_of_box, title, heading)
        title, heading = None, 0.0


_FieldCell = tuple[float, Entry, list[str]]
_FieldRow = tuple[float, list[_FieldCell]]


def _boxfuls(rows: Sequence[_FieldRow], room: float) -> list[list[_FieldRow]]:
    """Return the rows by the box they stand in: one, unless they take more than a page."""
    boxes: list[list[_FieldRow]] = [[]]
    for row in rows:
        if boxes[-1] and sum(high for high, _ in boxes[-1]) + row[0] > room:
            boxes.append([])
        boxes[-1].append(row)
    return boxes


def _draw_box(flow: Flow, rows: Sequence[_FieldRow], title: str | None, heading: float) -> None:
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


def packed(*entries: Entry) -> list[list[Entry]]:
    """Return the entries that hold anything, as many to a row as it has room for."""
    rows: list[list[Entry]] = [[]]
    for entry in entries:
        if entry.value and entry.value.strip():
            if sum(one.columns for one in rows[-1]) + entry.columns > 12:
                rows.append([])
            rows[-1].append(entry)
    return rows


def party_row(
    name: str | None, identification: str | None, date: str | None, *, called: str = "", date_called: str = "Fecha"
) -> list[Entry]:
    """Return the row that says whom the document is for, and its day."""
    return [
        Entry(f"Razón Social / Nombres y Apellidos{called}", name, 6, PARTY),
        Entry("Identificación", identification, 3, PARTY),
        Entry(date_called, date, 3, PARTY),
    ]


def note_rows(document: Document, note: CreditNote | DebitNote) -> list[list[Entry]]:
    """Return the rows of a note on another document: whom it is for, and what it changes."""
    modified = note.modified
    return [
        party_row(note.buyer.name, note.buyer.id, document.issue_date_text, date_called="Fecha Emisión"),
        [
            Entry("Comprobante que se modifica", codes.DOCUMENTS.get(modified.code or "", modified.code)),
            Entry("Número", modified.number),
            Entry("Fecha Emisión (Comprobante a modificar)", modified.issue_date),
        ],
    ]


# --- lines -----------------------------------------------------------------------------------------------------------


def lines_table(
    lines: Sequence[Line],
    *,
    codes_called: tuple[str, str] = ("Cód. Principal", "Cód. Auxiliar"),
    subsidy_total: Amount | None = None,
) -> Table:
    """Return the table of a document's lines; columns that no line has anything for are left out."""
    subsidized = has_value(subsidy_total) or any(has_value(line.price_without_subsidy) for line in lines)
    columns: list[Filled] = [
        (TableColumn(codes_called[0], "code"), [line.code for line in lines]),
        (TableColumn(codes_called[1], "code"), [line.auxiliary_code for line in lines]),
        (TableColumn("Cantidad", "number"), [digits(line.quantity) for line in lines]),
        (TableColumn("Unidad", "code"), [line.unit for line in lines]),
        (TableColumn("Descripción"), [line.description or " " for line in lines]),
        (TableColumn("Detalle Adicional"), ["\n".join(map(called, line.details)) for line in lines]),
        (TableColumn("Precio Unitario", "number"), [digits(line.unit_price) for line in lines]),
        (TableColumn("Subsidio", "number"), [subsidy(line) if subsidized else None for line in lines]),
        (
            TableColumn("Precio sin Subsidio", "number"),
            [digits(line.price_without_subsidy) if subsidized else None for line in lines],
        ),
        (TableColumn("Descuento", "number"), [money(line.discount) for line in lines]),
        (TableColumn("Precio Total", "number"), [money(line.total) for line in lines]),
    ]
    return table(columns)


def table(columns: Iterable[Filled], *, width: float = WIDTH) -> Table:
    """Return a table of the columns that hold anything."""
    used = [(column, cells) for column, cells in columns if any(cells)]
    rows = list(zip(*(cells for _, cells in used), strict=True))
    return Table([column for column, _ in used], rows, x=LEFT, width=width)


def called(field: Field) -> str:
    """Return a named text on one line."""
    return f"{field.name}: {field.value}" if field.name and field.value else field.name or field.value


def subsidy(line: Line) -> str | None:
    """Return what a line's price is subsidized with: the exact difference of its two prices."""
    if line.price_without_subsidy is None or line.unit_price is None:
        return None
    without, price = line.price_without_subsidy.value, line.unit_price.value
    with exact():
        return None if without is None or price is None else f"{without - price:f}"


# --- what stands below the lines -------------------------------------------------------------------------------------


def draw_lines(flow: Flow, lines: Table, totals: Sequence[Piece], notes: Sequence[Piece]) -> None:
    """Draw a document's lines, and below them its totals beside its notes; the totals never stand alone on a page."""
    height = _height(totals) + GAP
    lines.draw(flow, tail_mm=height, all_mm=max(height, _height(notes) + GAP))
    flow.y += GAP
    flow.pour(totals, notes)


def total_pieces(sheet: Sheet, totals: Sequence[TotalLine], *, currency: str | None = None) -> list[Piece]:
    """Return the totals, decimal points below each other, and their currency, as one group that no page divides."""
    x, pad = RIGHT - TOTALS_WIDTH, PAD_X
    texts = [sheet.clean(money(line.amount)) for line in totals]
    widest = max((sheet.measure(text, TOTAL) for text in texts), default=0.0)
    room = min(max(widest, 14.0), TOTALS_WIDTH * 0.6)
    plain = [text for line, text in zip(totals, texts, strict=True) if not line.grand]
    fraction = max((sheet.measure(_fraction(text), TOTAL) for text in plain), default=0.0)
    if widest > room:
        fraction = 0.0
    pieces = []
    for index, (line, text) in enumerate(zip(totals, texts, strict=True)):
        ink = GRAND_TOTAL if line.grand else TOTAL
        labels = sheet.wrap(
            head_text(sheet, line.label), TOTALS_WIDTH - room - 2 * pad - 2, ink if line.grand else TOTAL
        )
        values = [text]
        ink = sheet.shrink(text, TOTALS_WIDTH * 0.6, ink, least_pt=LEAST_PT)
        if sheet.measure(text, ink) > TOTALS_WIDTH * 0.6:
            values = sheet.wrap(text, TOTALS_WIDTH * 0.6, ink)
        tall = max(len(labels) * (GRAND_TOTAL if line.grand else TOTAL).line_mm, len(values) * ink.line_mm)
        height = tall + (2.4 if line.grand else 1.1)
        own = sheet.measure(_fraction(text), ink)
        right = RIGHT - pad - (max(0.0, fraction - own) if not line.grand and fraction else 0.0)
        draw = partial(_draw_total, sheet, x, height, labels, values, right, ink, line=line, first=index == 0)
        pieces.append(Piece(height, draw, keep=index < len(totals) - 1))
    if pieces and currency:
        pieces[-1] = replace(pieces[-1], keep=True)
        pieces += _currency(sheet, currency)
    return pieces


def _currency(sheet: Sheet, currency: str) -> list[Piece]:
    """Return the currency of the totals above it."""
    right, said = RIGHT - PAD_X, f"Moneda: {head_text(sheet, currency, most=HEAD_CODE_MAX)}"
    lines = sheet.wrap(said, TOTALS_WIDTH - 2 * PAD_X, LABEL)

    def draw(y: float) -> None:
        sheet.write_lines(right, y + 1, lines, LABEL, align="right")

    return [Piece(1 + len(lines) * LABEL.line_mm, draw)]


def _draw_total(
    sheet: Sheet,
    x: float,
    height: float,
    labels: Sequence[str],
    values: Sequence[str],
    right: float,
    ink: Ink,
    y: float,
    *,
    line: TotalLine,
    first: bool,
) -> None:
    label_ink = GRAND_TOTAL if line.grand else TOTAL
    if line.grand:
        sheet.tint(x, y, TOTALS_WIDTH, height, grey=0.9)
    sheet.rule(
        x, y, TOTALS_WIDTH, weight_mm=0.2 if first or line.grand else 0.1, grey=0.35 if first or line.grand else 0.78
    )
    top = y + (height - len(labels) * label_ink.line_mm) / 2
    sheet.write_lines(x + PAD_X, top, labels, label_ink)
    sheet.write_lines(right, y + (height - len(values) * ink.line_mm) / 2, values, ink, align="right")
    if line.grand:
        sheet.rule(x, y + height, TOTALS_WIDTH, weight_mm=0.35, grey=0.2)


def section(sheet: Sheet, title: str) -> Piece:
    """Return a heading for what follows below the lines."""

    def draw(y: float) -> None:
        sheet.write(LEFT, y, title, SECTION)
        sheet.rule(LEFT, y + SECTION.line_mm + 0.4, NOTES_WIDTH, weight_mm=0.2, grey=0.35)

    return Piece(SECTION.line_mm + 1.2, draw, keep=True)


def information_pieces(sheet: Sheet, fields: Sequence[Field], title: str = "Información Adicional") -> list[Piece]:
    """Return named texts below each other, a line a piece, so that any length runs on."""
    if not fields:
        return []
    pieces = [section(sheet, title)]
    names = [sheet.clean(field.name) for field in fields]
    narrow = max(
        (sheet.measure(name, LABEL) for name, field in zip(names, fields, strict=True) if field.value),
        default=0.0,
    )
    indent = min(narrow, NOTES_WIDTH * 0.3) + 3
    for name, field in zip(names, fields, strict=True):
        value = sheet.clean(field.value)
        if not value:
            left, right = sheet.wrap(name, NOTES_WIDTH, SMALL), []
            ink = SMALL
        else:
            left = sheet.wrap(name, indent - 3, LABEL)
            right, ink = sheet.wrap(value, NOTES_WIDTH - (indent if name else 0.0), SMALL), LABEL
        count = max(len(left), len(right))
        for index in range(count):
            one, other = (lines[index] if index < len(lines) else "" for lines in (left, right))
            draw = partial(_draw_pair, sheet, one, ink, other, LEFT + (indent if name else 0.0))
            pieces.append(Piece(SMALL.line_mm, draw, keep=index < count - 1 and count <= 12))
        pieces.append(_blank(0.5))
    return [*pieces, _blank(2.0)]


def _draw_pair(sheet: Sheet, left: str, ink: Ink, right: str, x: float, y: float) -> None:
    sheet.write(LEFT, y, left, ink)
    sheet.write(x, y, right, SMALL)


def payment_pieces(sheet: Sheet, payments: Sequence[Payment]) -> list[Piece]:
    """Return the table of payments."""
    if not payments:
        return []
    columns: list[Filled] = [
        (TableColumn("Forma de pago"), [codes.named(codes.PAYMENTS, payment.method) for payment in payments]),
        (TableColumn("Valor", "number"), [money(payment.total) for payment in payments]),
        (
            TableColumn("Plazo", "number"),
            [digits(Amount(payment.term)) if payment.term else None for payment in payments],
        ),
        (TableColumn("Tiempo", "code"), [payment.term_unit for payment in payments]),
    ]
    return small_table(sheet, columns)


def small_table(sheet: Sheet, columns: Iterable[Filled], *, title: str | None = None) -> list[Piece]:
    """Return a table for the left column below the lines."""
    the_table = table(columns, width=NOTES_WIDTH)
    if not the_table.columns:
        return []
    pieces = the_table.pieces(sheet)
    if title:
        pieces.insert(0, Piece(SECTION.line_mm + 0.6, lambda y: sheet.write(LEFT, y, title, SECTION), keep=True))
    return [*pieces, _blank(3.0)]


def compensation_fields(compensations: Sequence[Compensation]) -> list[Field]:
    """Return what was given back of IVA, from 2016 to 2018; nothing if all of it is zero."""
    if not any(has_value(one.amount) for one in compensations):
        return []
    return [
        Field(f"Compensación {digits(one.rate) or ''}%".replace(" %", ""), money(one.amount) or "")
        for one in compensations
    ]


def machine_fields(machine: FiscalMachine | None) -> list[Field]:
    """Return the machine that printed the document."""
    if machine is None:
        return []
    named = (("Marca", machine.brand), ("Modelo", machine.model), ("Serie", machine.serial))
    return [Field(name, value) for name, value in named if value]


def draw_reimbursement_totals(
    flow: Flow, totals: ReimbursementTotals | None, reimbursements: Sequence[Reimbursement]
) -> None:
    """Draw the sums of the reimbursed documents; zeros without such documents are left out."""
    if totals is None:
        return
    sums = [amount for amount in (totals.documents, totals.base, totals.tax) if amount is not None]
    if sums and not reimbursements and not any(map(has_value, sums)):
        return
    entries = [
        Entry("Código Documento Reembolso", codes.named(codes.DOCUMENTS, totals.code)),
        Entry("Total Comprobantes Reembolso", money(totals.documents)),
        Entry("Total Base Imponible Reembolso", money(totals.base)),
        Entry("Total Impuesto Reembolso", money(totals.tax)),
    ]
    draw_fields(flow, [entries], title="Reembolso de Gastos")


def draw_reimbursements(flow: Flow, reimbursements: Sequence[Reimbursement]) -> None:
    """Draw the table of documents that somebody paid for the buyer, a row a document."""
    if not reimbursements:
        return
    sheet = flow.sheet

    def taxes(one: Reimbursement, what: str) -> str:
        return "\n".join(money(getattr(tax, what)) or "–" for tax in one.taxes)

    columns: list[Filled] = [
        (
            TableColumn("Comprobante", "code"),
            [codes.named(codes.DOCUMENTS, r.document_code) for r in reimbursements],
        ),
        (TableColumn("Número", "code"), [r.number for r in reimbursements]),
        (TableColumn("Fecha Emisión", "code"), [r.issue_date for r in reimbursements]),
        (TableColumn("Proveedor", "code"), [_supplier(r) for r in reimbursements]),
        (TableColumn("Número de Autorización"), [r.authorization for r in reimbursements]),
        (
            TableColumn("Impuesto", "code"),
            ["\n".join(tax_name(t.code, digits(t.rate)) for t in r.taxes) for r in reimbursements],
        ),
        (TableColumn("Base Imponible", "number"), [taxes(r, "base") for r in reimbursements]),
        (TableColumn("Valor Impuesto", "number"), [taxes(r, "amount") for r in reimbursements]),
    ]
    flow.need(20)
    flow.y += 1.5
    sheet.write(LEFT, flow.y, "Reembolsos", SECTION)
    flow.y += SECTION.line_mm + 0.6
    table(columns).draw(flow)
    flow.y += GAP


def _supplier(one: Reimbursement) -> str:
    kind = codes.SUPPLIER_KINDS.get(one.supplier_kind or "", one.supplier_kind)
    country = f"País {one.supplier_country}" if one.supplier_country else None
    return "\n".join(filter(None, (one.supplier_id, kind, country)))


def tax_name(code: str | None, rate: str | None) -> str:
    """Return a tax by its name and rate: `IVA 15%`."""
    name = codes.TAXES.get(code or "", code or "")
    return f"{name} {percent(rate)}" if rate else name


def _fraction(text: str) -> str:
    point = text.rfind(".")
    return text[point:] if point >= 0 else ""
