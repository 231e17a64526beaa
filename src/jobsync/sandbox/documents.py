"""
Invents fiscal documents of taxpayers that do not exist: the same key and wishes give the same bytes.

Written from the tax authority's paper (Ficha Técnica v2.34) and its XML schemas; the XML itself is in `templates/`. The
signature is of the right shape and verifies nowhere.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined

# document code -> root element, versions from the oldest
KINDS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "01": ("factura", ("1.0.0", "1.1.0", "2.0.0", "2.1.0")),
    "03": ("liquidacionCompra", ("1.0.0", "1.1.0")),
    "04": ("notaCredito", ("1.0.0", "1.1.0")),
    "05": ("notaDebito", ("1.0.0",)),
    "06": ("guiaRemision", ("1.0.0", "1.1.0")),
    "07": ("comprobanteRetencion", ("1.0.0", "2.0.0")),
}
# what an invoice can have beside its lines; "long" makes every text as long as the schema allows, in all kinds
EXTRAS = (
    *("long", "tip", "excise", "export", "reimbursement", "subsidy", "refund", "transport", "third_parties"),
    *("fuel_retention", "negotiable", "machine"),
)
_SIX_DECIMALS = ("1.1.0", "2.1.0")
_FULL_TRANSPORT = ("2.0.0", "2.1.0")
_TEXT_MOST = 300
ENVIRONMENTS = {"test": "1", "production": "2"}  # as keys say them
_FIRST_DAY, _DAYS = date(2026, 1, 5), 240
_CODE_MOST = 25


# --- taxpayers and keys ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Taxpayer:
    """An issuer or a customer that does not exist."""

    ruc: str
    name: str
    trade_name: str | None
    address: str
    keeps_books: bool
    special: str | None
    agent: str | None
    rimpe: bool


_TRADES = (
    *("PANADERÍA", "FERRETERÍA", "LIBRERÍA", "IMPORTADORA", "TRANSPORTES", "FARMACIA", "COMERCIAL", "CONSULTORA"),
    *("FLORÍCOLA", "PESQUERA", "TALLERES", "DISTRIBUIDORA", "HOSTERÍA", "CACAOTERA"),
)
_THINGS = (
    *("EL CÓNDOR DE PAPEL", "LA LLAMA AZUL", "EL VOLCÁN DE CARTÓN", "LA TORTUGA VELOZ", "EL ÑANDÚ IMAGINARIO"),
    *("LA NUBE DE MENTIRA", "EL PEZ INVENTADO", "LA LUNA FICTICIA", "EL COLIBRÍ DE VIDRIO", "LA MONTAÑA PLANA"),
)
_FORMS = ("S.A.", "CIA. LTDA.", "S.A.S.", "& HIJOS CIA. LTDA.")
_PERSONS = (
    *("PERSONA INVENTADA", "NADIE NINGUNO", "FULANA DE TAL", "MENGANO FICTICIO", "ZUTANA IMAGINARIA ÑUSTA"),
    *("PERENCEJO INEXISTENTE", "DOÑA SUPUESTA PÉREZ-Y-PÉREZ"),
)
_STREETS = ("CALLE INVENTADA", "AV. QUE NO EXISTE", "PASAJE IMAGINARIO", "VÍA FICTICIA KM", "ESQUINA DE NADIE")
_TOWNS = ("QUITO", "GUAYAQUIL", "CUENCA", "AMBATO", "LOJA", "MANTA", "IBARRA", "RIOBAMBA", "TULCÁN")


def invent_rucs(count: int, *, seed: int = 1) -> list[str]:
    """Return RUCs whose check digits are right, each once: four companies to one person."""
    rng, found = Random(f"rucs {seed}"), dict[str, None]()
    while len(found) < count:
        province, serial = rng.choice(("01", "09", "11", "17", "18")), 990_000 + rng.randrange(10_000)
        ruc = _with_check_digit(f"{province}{5 if len(found) % 5 == 4 else 9}{serial}")
        if ruc:
            found[ruc] = None
    return list(found)


def _with_check_digit(first_9: str) -> str | None:
    digits = [int(digit) for digit in first_9]
    if first_9[2] == "9":  # a company
        check = -sum(digit * weight for digit, weight in zip(digits, (4, 3, 2, 7, 6, 5, 4, 3, 2), strict=True)) % 11
    else:
        check = -sum(sum(divmod(digit * (2 - place % 2), 10)) for place, digit in enumerate(digits)) % 10
    return None if check == 10 else f"{first_9}{check}001"


def taxpayer_of(ruc: str) -> Taxpayer:
    """Return the one invented taxpayer that has this RUC."""
    rng = Random(f"taxpayer {ruc}")
    person = ruc[2] < "6"
    trade = f"{rng.choice(_TRADES)} {rng.choice(_THINGS)}"
    return Taxpayer(
        ruc=ruc,
        name=rng.choice(_PERSONS) if person else f"{trade} {rng.choice(_FORMS)}",
        trade_name=trade if rng.random() < 0.6 else None,
        address=_address(rng),
        keeps_books=not person or rng.random() < 0.3,
        special=str(rng.randint(100, 99_999)) if rng.random() < 0.2 else None,
        agent=str(rng.randint(1, 99)) if rng.random() < 0.2 else None,
        rimpe=rng.random() < 0.15,
    )


def _address(rng: Random) -> str:
    return f"{rng.choice(_STREETS)} {rng.randint(1, 999)} Y {rng.choice(_STREETS)}, {rng.choice(_TOWNS)}"


def check_digit(first_48: str) -> str:
    """Return the 49th digit of a key: weights 2 to 7 from the right, modulo 11; 11 is written 0 and 10 is written 1."""
    total = sum(int(digit) * (2 + place % 6) for place, digit in enumerate(reversed(first_48)))
    return {11: "0", 10: "1"}.get(11 - total % 11, str(11 - total % 11))


def make_key(
    issue_date: date,
    code: str,
    ruc: str,
    sequence: int,
    *,
    environment: str = "1",
    series: str = "001001",
    number: str = "12345678",
) -> str:
    """Put a key together; `environment` is 1 (test) or 2 (production), `series` establishment and point of emission."""
    first_48 = f"{issue_date:%d%m%Y}{code}{ruc}{environment}{series}{sequence:09d}{number}1"
    return first_48 + check_digit(first_48)


def is_key(text: str) -> bool:
    """Whether a text is a key: 49 digits, the last one right, of a kind that exists."""
    digits = re.fullmatch("[0-9]{49}", text) is not None
    return digits and check_digit(text[:48]) == text[48] and text[8:10] in KINDS


# --- what is asked for -----------------------------------------------------------------------------------------------


class Invented(NamedTuple):
    """One document, as its issuer would have sent it."""

    key: str
    document: bytes


def invent_documents(
    count: int,
    *,
    seed: int = 1,
    codes: Sequence[str] = tuple(KINDS),
    issuers: int = 3,
    environment: str = "1",
    rich: bool = False,
) -> Iterator[Invented]:
    """Invent documents, kinds and issuers in turn, the oldest first; `rich` ones have more lines, and some EXTRAS."""
    rucs = invent_rucs(issuers, seed=seed)
    for number in range(count):
        code, ruc = codes[number % len(codes)], rucs[number // len(codes) % len(rucs)]
        day = _FIRST_DAY + timedelta(days=number * _DAYS // max(count, 1))
        key = make_key(day, code, ruc, number + 1, environment=environment, number=f"{seed % 10**8:08d}")
        rng = Random(f"wishes {key}")
        extras = rng.sample(EXTRAS, rng.randint(1, 4)) if rich else ()
        yield Invented(key, invent_document(key, lines=rng.randint(1, 20) if rich else None, extras=extras))


def write_documents(folder: Path, documents: Iterable[Invented]) -> list[str]:
    """Write each document to a file named after its key; returns the keys."""
    folder.mkdir(parents=True, exist_ok=True)
    keys = []
    for key, document in documents:
        (folder / f"{key}.xml").write_bytes(document)
        keys.append(key)
    return keys


def invent_document(
    key: str,
    *,
    version: str | None = None,
    lines: int | None = None,
    extras: Collection[str] = (),
    signed: bool = True,
) -> bytes:
    """
    Invent the document that a key names; the key decides what is sold to whom, too.

    Without a `version`, any that the kind has; without `lines`, one to six. Of `extras`, words of EXTRAS, those that
    kind or version do not have are left out.
    """
    root, versions = KINDS[key[8:10]]
    document = _Document(key, versions, version, lines, extras)
    text = templates().get_template(f"{root}.xml").render(root=root, d=document, signed=signed)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{_BETWEEN_TAGS.sub("><", text).strip()}'.encode()


_BETWEEN_TAGS = re.compile(r">\s+<")


@cache
def templates() -> Environment:
    """Return what writes the XML of documents and answers; it escapes what is put in."""
    loader = FileSystemLoader(Path(__file__).with_name("templates"))
    found = Environment(loader=loader, autoescape=True, undefined=StrictUndefined)
    found.filters |= {"money": _money, "share": _share}
    found.filters["day"] = lambda day, later=0: f"{day + timedelta(days=later):%d/%m/%Y}"
    found.globals |= {"make_key": make_key, "RETENTIONS": _RETENTIONS}
    found.globals |= {"SIX_DECIMALS": _SIX_DECIMALS, "FULL_TRANSPORT": _FULL_TRANSPORT}
    return found


# --- what the templates ask ------------------------------------------------------------------------------------------

_GOODS = (
    "CEMENTO IMAGINARIO 50 KG", "CUADERNO A RAYAS 100 HOJAS", "CAFÉ DE NUBE MOLIDO 400 G", "TORNILLO 1/4\" x 2\"",
    "SERVICIO DE CONSULTORÍA <EN SITIO>", "FLORES DE PAPEL & HOJAS", "ACEITE 20W-50 GALÓN", "ÑAME FRESCO LIBRA",
    "MANTENIMIENTO PREVENTIVO DE EQUIPOS", "LÁMPARA LED 9W LUZ FRÍA", "CHOCOLATE AMARGO 70% 'RESERVA'",
    "TRANSPORTE DE CARGA AMBATO–LOJA", "PAPEL BOND A4 75 G RESMA", "AGUA SIN GAS 500 ML", "CAMISETA ALGODÓN T/M",
)  # fmt: skip
_LONG_GOODS = (
    "EQUIPO DE MEDICIÓN CON ESTUCHE, CABLES, MANUAL EN ESPAÑOL Y GARANTÍA DE DOCE MESES, INSTALACIÓN INCLUIDA EN QUITO",
    "REFERENCIA-SIN-ESPACIOS-0123456789012345678901234567890123456789012345678901234567890123456789",
)
_UNITS = ("UNIDAD", "KILOGRAMO", "CAJA", "HORA", None)
# percentage code, rate; the ordinary rate comes from the day
_OTHER_RATES: tuple[tuple[str, int], ...] = (("0", 0), ("5", 5), ("6", 0), ("7", 0), ("8", 8))


# tax, retention code, percent
_RETENTIONS: tuple[tuple[str, str, str], ...] = (
    ("1", "312", "1.75"), ("1", "3440", "2.75"), ("1", "303", "10"), ("2", "1", "30"), ("2", "2", "70"),
    ("2", "9", "10"), ("2", "3", "100"), ("6", "4580", "5"),
)  # fmt: skip


class _Party(NamedTuple):
    kind: str
    identification: str
    name: str
    address: str | None


class _Tax(NamedTuple):
    code: str
    percentage_code: str
    rate: int
    base: int  # cents, like the amount
    amount: int


def _money(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02d}"


def _share(cents: int, percent: float) -> int:
    return round(cents * percent / 100)


class _Document:
    """What is true of one document; what its template asks next is drawn then, so the order of the questions counts."""

    def __init__(
        self, key: str, versions: Sequence[str], version: str | None, lines: int | None, extras: Collection[str]
    ) -> None:
        self.rng = rng = Random(f"document {key}")
        self.key = key
        self.day = date(int(key[4:8]), int(key[2:4]), int(key[:2]))
        self.issuer = taxpayer_of(key[10:23])
        self.version = version or rng.choice(versions)
        self.line_count = lines or rng.choice((1, 1, 2, 3, 4, 6))
        self.extras = frozenset(extras)
        self.rate = ("4", 15) if self.day >= date(2024, 4, 1) else ("2", 12)
        code = key[8:10]
        self.party = self.invent_party(final_consumer=code == "01")
        sold = code in ("01", "03", "04")
        self.lines = self.invent_lines(excise=code != "03" and "excise" in extras) if sold else []
        asked = self.extras if code == "01" else frozenset[str]()
        self.net = sum(line["total"] for line in self.lines)
        self.tip = _share(self.net, 10) if "tip" in asked else 0
        self.freight = 1250 if "export" in asked else 0
        self.refund = 150 if "refund" in asked else 0
        self.third = 375 if "third_parties" in asked and self.version in _FULL_TRANSPORT else 0
        sums: dict[tuple[str, str], _Tax] = {}
        for tax in (tax for line in self.lines for tax in line["taxes"]):
            so_far = sums.get(tax[:2], tax._replace(base=0, amount=0))
            sums[tax[:2]] = tax._replace(base=so_far.base + tax.base, amount=so_far.amount + tax.amount)
        self.taxes = list(sums.values())
        refunded = sum(min(self.refund, tax.amount) for tax in self.taxes if tax.rate)
        taxed = self.net + sum(tax.amount for tax in self.taxes)
        self.total = taxed + self.tip + self.freight * 4 + self.third - refunded

    def words(self, text: str) -> str:
        return (f"{text} " * (_TEXT_MOST // len(text) + 1))[:_TEXT_MOST].strip() if "long" in self.extras else text

    def other_number(self) -> str:
        return f"001-002-{self.rng.randint(1, 99_999):09d}"

    def other_ruc(self) -> str:
        return invent_rucs(1, seed=self.rng.randrange(10_000))[0]

    def day_before(self) -> date:
        return self.day - timedelta(days=self.rng.randint(1, 20))

    def address(self) -> str:
        return _address(self.rng)

    def noise(self, count: int) -> str:
        return base64.b64encode(self.rng.randbytes(count)).decode()

    def tax(self, base: int) -> _Tax:
        return _Tax("2", *self.rate, base, _share(base, self.rate[1]))

    def parts(self, total: int) -> list[int]:
        first = total if total < 2000 or self.rng.random() < 0.6 else total // 3
        return [first, total - first] if first != total else [total]

    def reasons(self) -> list[tuple[str, int]]:
        reasons = ("INTERÉS POR MORA", "GASTO DE COBRANZA", "FLETE")
        return [(self.rng.choice(reasons), self.rng.randint(100, 9_000)) for _ in range(self.line_count)]

    def additional(self) -> list[tuple[str, str]]:
        fields = [
            ("RUC Proveedor", "1799999990001"),
            ("Dirección", self.party.address or "SIN DIRECCIÓN"),
            ("Email", "nadie@ejemplo.invalid"),
            ("Teléfono", f"02-{self.rng.randint(0, 9_999_999):07d}"),
            ("Observación", self.words("GRACIAS POR SU COMPRA <3 & VUELVA PRONTO")),
            *((f"Campo {number}", self.words(f"VALOR {number}")) for number in range(6, 16)),
        ]
        return fields[: 15 if "long" in self.extras else self.rng.randint(1, 5)]

    def invent_party(self, *, final_consumer: bool = False) -> _Party:
        """Somebody to deal with: a company, a person, a foreigner or, in invoices, nobody in particular."""
        rng = self.rng
        draw = rng.random()
        if final_consumer and draw < 0.15:
            return _Party("07", "9999999999999", "CONSUMIDOR FINAL", None)
        if draw < 0.55:
            other = taxpayer_of(self.other_ruc())
            return _Party("04", other.ruc, self.words(other.name), self.words(other.address))
        name = self.words(rng.choice(_PERSONS))
        if draw < 0.85:
            cedula = str(_with_check_digit(f"170{rng.randint(990_000, 999_999)}"))[:10]
            return _Party("05", cedula, name, self.words(self.address()) if draw < 0.75 else None)
        if draw < 0.93:
            return _Party("06", f"XX{rng.randint(100_000, 999_999)}", name, None)
        return _Party("08", f"EXT-{rng.randint(1000, 9999)}", name, self.words("1 NOWHERE LANE, OUTLAND"))

    def invent_lines(self, *, excise: bool = False) -> list[dict[str, Any]]:
        return [self._line(number, excise=excise and number == 1) for number in range(1, self.line_count + 1)]

    def _line(self, number: int, *, excise: bool) -> dict[str, Any]:
        rng = self.rng
        fine = self.version in _SIX_DECIMALS
        millis = rng.choice((1000, 1000, 2000, 5000, 12_000, 1500, 250))  # of a unit
        quantity = f"{millis // 1000}.{millis % 1000:03d}000" if fine else f"{millis // 1000}.{millis % 1000 // 10:02d}"
        price = rng.randint(25, 120_000)
        gross = round(price * millis / 1000)
        discount = _share(gross, 10) if rng.random() < 0.2 else 0
        total = gross - discount
        percentage_code, rate = self.rate if rng.random() < 0.7 else rng.choice(_OTHER_RATES)
        taxes: tuple[_Tax, ...] = ()
        base = total
        if excise:
            taxes = (_Tax("3", "3092", 15, total, _share(total, 15)), _Tax("5", "5001", 0, total, 4))
            base = total + taxes[0].amount
        taxes += (_Tax("2", percentage_code, rate, base, _share(base, rate)),)
        goods = rng.choice(_LONG_GOODS) if rng.random() < 0.05 else rng.choice(_GOODS)
        code = f"P{rng.randint(1, 99_999):05d}"
        return {
            "code": f"{code}-SIN-ESPACIOS-{number:010d}"[:_CODE_MOST] if "long" in self.extras else code,
            "other_code": f"AUX{rng.randint(1, 999)}" if rng.random() < 0.5 else None,
            "description": self.words(goods),
            "unit": rng.choice(_UNITS),
            "quantity": quantity,
            "price": _money(price) + ("0000" if fine else ""),
            "discount": discount,
            "total": total,
            "taxes": taxes,
            "details": (("Lote", f"L-{rng.randint(1, 999)}"), ("Marca", "NINGUNA & CÍA")) if rng.random() < 0.2 else (),
        }
