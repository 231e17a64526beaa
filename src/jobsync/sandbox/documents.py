"""
Invents fiscal documents of taxpayers that do not exist: all six kinds, in every version, told entirely by their key.

Written from the tax authority's paper (Ficha Técnica v2.34) and its XML schemas. The same key and wishes give the same
bytes. The signature is of the right shape and verifies nowhere.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from random import Random
from xml.sax.saxutils import escape, quoteattr

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
_DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'


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
        ruc = _person_ruc(f"{province}5{serial}") if len(found) % 5 == 4 else _company_ruc(f"{province}9{serial}")
        if ruc:
            found[ruc] = None
    return list(found)


def _company_ruc(first_9: str) -> str | None:
    rest = sum(int(digit) * weight for digit, weight in zip(first_9, (4, 3, 2, 7, 6, 5, 4, 3, 2), strict=True)) % 11
    return None if rest == 1 else f"{first_9}{(11 - rest) % 11}001"


def _person_ruc(first_9: str) -> str:
    total = 0
    for place, digit in enumerate(first_9):
        value = int(digit) * (2 - place % 2)
        total += value - 9 if value > 9 else value
    return f"{first_9}{-total % 10}001"


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
    """
    Return the 49th digit of a key: weights 2 to 7 from the right, modulo 11; 11 is written 0 and 10 is written 1.

    >>> check_digit("040720190117921777580011001002000000030123456781")
    '5'
    """
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
    return (
        len(text) == 49
        and text.isascii()
        and text.isdigit()
        and check_digit(text[:48]) == text[48]
        and text[8:10] in KINDS
    )


# --- what is asked for -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Invented:
    """One document, as its issuer would have sent it."""

    key: str
    document: bytes

    @property
    def code(self) -> str:
        """The document code."""
        return self.key[8:10]

    @property
    def ruc(self) -> str:
        """The issuer."""
        return self.key[10:23]


def invent_documents(
    count: int,
    *,
    seed: int = 1,
    codes: Sequence[str] = tuple(KINDS),
    issuers: int = 3,
    environment: str = "1",
    rich: bool = False,
) -> Iterator[Invented]:
    """
    Invent documents one after the other, kinds and issuers in turn, the oldest first, spread over _DAYS.

    Args:
        rich: with up to 20 lines and some of EXTRAS.
    """
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
    for one in documents:
        (folder / f"{one.key}.xml").write_bytes(one.document)
        keys.append(one.key)
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
    Invent the document that a key names.

    Args:
        key: decides issuer, kind, day, environment, number, and what is sold to whom.
        version: one that the kind has; None: any.
        lines: None: one to six.
        extras: words of EXTRAS; those that kind or version do not have are left out.
    """
    rng = Random(f"document {key}")
    root, versions = KINDS[key[8:10]]
    chosen = version or rng.choice(versions)
    wishes = _Wishes(
        rng=rng,
        key=key,
        day=date(int(key[4:8]), int(key[2:4]), int(key[:2])),
        issuer=taxpayer_of(key[10:23]),
        version=chosen,
        lines=lines or rng.choice((1, 1, 2, 3, 4, 6)),
        extras=frozenset(extras),
    )
    body = _head(wishes) + _BODIES[key[8:10]](wishes)
    signature = _signature(rng) if signed else ""
    return f'{_DECLARATION}<{root} id="comprobante" version="{chosen}">{body}{signature}</{root}>'.encode()


@dataclass(frozen=True)
class _Wishes:
    rng: Random
    key: str
    day: date
    issuer: Taxpayer
    version: str
    lines: int
    extras: frozenset[str]

    @property
    def series_number(self) -> str:
        return f"{self.key[24:27]}-{self.key[27:30]}-{self.key[30:39]}"

    def words(self, text: str) -> str:
        """A text, or one as long as the schema allows if long ones are wished for."""
        return (f"{text} " * (_TEXT_MOST // len(text) + 1))[:_TEXT_MOST].strip() if "long" in self.extras else text

    def other_number(self) -> str:
        """The number of some earlier document."""
        return f"001-002-{self.rng.randint(1, 99_999):09d}"

    def day_before(self) -> date:
        return self.day - timedelta(days=self.rng.randint(1, 20))


# --- pieces ----------------------------------------------------------------------------------------------------------


def _tags(*pairs: tuple[str, object]) -> str:
    """Write elements that hold text; those of None are left out."""
    return "".join(f"<{name}>{escape(str(text))}</{name}>" for name, text in pairs if text is not None)


def _in(name: str, inside: str) -> str:
    return f"<{name}>{inside}</{name}>" if inside else ""


def _day(day: date) -> str:
    return f"{day:%d/%m/%Y}"


def _money(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02d}"


def _share(cents: int, percent: float) -> int:
    return round(cents * percent / 100)


def _head(wishes: _Wishes) -> str:
    key, issuer = wishes.key, wishes.issuer
    inside = _tags(
        ("ambiente", key[23]),
        ("tipoEmision", key[47]),
        ("razonSocial", wishes.words(issuer.name)),
        ("nombreComercial", wishes.words(issuer.trade_name) if issuer.trade_name else None),
        ("ruc", issuer.ruc),
        ("claveAcceso", key),
        ("codDoc", key[8:10]),
        ("estab", key[24:27]),
        ("ptoEmi", key[27:30]),
        ("secuencial", key[30:39]),
        ("dirMatriz", wishes.words(issuer.address)),
        ("agenteRetencion", issuer.agent),
        ("contribuyenteRimpe", "CONTRIBUYENTE RÉGIMEN RIMPE" if issuer.rimpe else None),
    )
    return _in("infoTributaria", inside)


def _books(wishes: _Wishes) -> str:
    return "SI" if wishes.issuer.keeps_books else "NO"


@dataclass(frozen=True)
class _Party:
    kind: str
    identification: str
    name: str
    address: str | None


def _party(wishes: _Wishes, *, final_consumer: bool = False) -> _Party:
    """Somebody to deal with: a company, a person, a foreigner or, in invoices, nobody in particular."""
    rng = wishes.rng
    draw = rng.random()
    if final_consumer and draw < 0.15:
        return _Party("07", "9999999999999", "CONSUMIDOR FINAL", None)
    if draw < 0.55:
        other = taxpayer_of(invent_rucs(1, seed=rng.randrange(10_000))[0])
        return _Party("04", other.ruc, wishes.words(other.name), wishes.words(other.address))
    name = wishes.words(rng.choice(_PERSONS))
    if draw < 0.85:
        cedula = _person_ruc(f"170{rng.randint(990_000, 999_999)}")[:10]
        return _Party("05", cedula, name, wishes.words(_address(rng)) if draw < 0.75 else None)
    if draw < 0.93:
        return _Party("06", f"XX{rng.randint(100_000, 999_999)}", name, None)
    return _Party("08", f"EXT-{rng.randint(1000, 9999)}", name, wishes.words("1 NOWHERE LANE, OUTLAND"))


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


@dataclass(frozen=True)
class _Tax:
    code: str
    percentage_code: str
    rate: int
    base: int
    amount: int


@dataclass(frozen=True)
class _Line:
    code: str
    other_code: str | None
    description: str
    unit: str | None
    quantity: str
    price: str
    discount: int
    total: int
    taxes: tuple[_Tax, ...]
    details: tuple[tuple[str, str], ...]


def _ordinary_rate(day: date) -> tuple[str, int]:
    return ("4", 15) if day >= date(2024, 4, 1) else ("2", 12)


def _lines(wishes: _Wishes, *, excise: bool = False) -> list[_Line]:
    return [_line(wishes, number, excise=excise and number == 1) for number in range(1, wishes.lines + 1)]


def _line(wishes: _Wishes, number: int, *, excise: bool) -> _Line:
    rng = wishes.rng
    fine = wishes.version in _SIX_DECIMALS
    millis = rng.choice((1000, 1000, 2000, 5000, 12_000, 1500, 250))  # of a unit
    quantity = f"{millis // 1000}.{millis % 1000:03d}000" if fine else f"{millis // 1000}.{millis % 1000 // 10:02d}"
    price = rng.randint(25, 120_000)
    gross = round(price * millis / 1000)
    discount = _share(gross, 10) if rng.random() < 0.2 else 0
    total = gross - discount
    percentage_code, rate = _ordinary_rate(wishes.day) if rng.random() < 0.7 else rng.choice(_OTHER_RATES)
    taxes: tuple[_Tax, ...] = ()
    base = total
    if excise:
        taxes = (_Tax("3", "3092", 15, total, _share(total, 15)), _Tax("5", "5001", 0, total, 4))
        base = total + taxes[0].amount
    taxes += (_Tax("2", percentage_code, rate, base, _share(base, rate)),)
    goods = rng.choice(_LONG_GOODS) if rng.random() < 0.05 else rng.choice(_GOODS)
    code = f"P{rng.randint(1, 99_999):05d}"
    return _Line(
        code=f"{code}-SIN-ESPACIOS-{number:010d}"[:_CODE_MOST] if "long" in wishes.extras else code,
        other_code=f"AUX{rng.randint(1, 999)}" if rng.random() < 0.5 else None,
        description=wishes.words(goods),
        unit=rng.choice(_UNITS),
        quantity=quantity,
        price=f"{_money(price)}0000" if fine else _money(price),
        discount=discount,
        total=total,
        taxes=taxes,
        details=(("Lote", f"L-{rng.randint(1, 999)}"), ("Marca", "NINGUNA & CÍA")) if rng.random() < 0.2 else (),
    )


def _details(line: _Line) -> str:
    texts = [f"<detAdicional nombre={quoteattr(name)} valor={quoteattr(text)}/>" for name, text in line.details]
    return _in("detallesAdicionales", "".join(texts))


def _line_tags(line: _Line, *, names: tuple[str, str], unit: bool, subsidy: bool = False) -> str:
    taxes = "".join(
        _in(
            "impuesto",
            _tags(
                ("codigo", tax.code),
                ("codigoPorcentaje", tax.percentage_code),
                ("tarifa", tax.rate),
                ("baseImponible", _money(tax.base)),
                ("valor", _money(tax.amount)),
            ),
        )
        for tax in line.taxes
    )
    inside = _tags(
        (names[0], line.code),
        (names[1], line.other_code),
        ("descripcion", line.description),
        ("unidadMedida", line.unit if unit else None),
        ("cantidad", line.quantity),
        ("precioUnitario", line.price),
        ("precioSinSubsidio", f"{float(line.price) * 1.5:.2f}" if subsidy else None),
        ("descuento", _money(line.discount)),
        ("precioTotalSinImpuesto", _money(line.total)),
    )
    return _in("detalle", inside + _details(line) + _in("impuestos", taxes))


def _summed(lines: Iterable[_Line]) -> list[_Tax]:
    """Return one tax for each code and percentage code of the lines."""
    sums: dict[tuple[str, str], _Tax] = {}
    for tax in (tax for line in lines for tax in line.taxes):
        key = (tax.code, tax.percentage_code)
        so_far = sums.get(key)
        base, amount = (so_far.base, so_far.amount) if so_far else (0, 0)
        sums[key] = _Tax(*key, tax.rate, base + tax.base, amount + tax.amount)
    return list(sums.values())


def _total_taxes(taxes: Iterable[_Tax], *, rate: bool, refund: int = 0) -> str:
    """Write the totals by tax; `rate`: with the rate, which many issuers leave out."""
    return _in(
        "totalConImpuestos",
        "".join(
            _in(
                "totalImpuesto",
                _tags(
                    ("codigo", tax.code),
                    ("codigoPorcentaje", tax.percentage_code),
                    ("baseImponible", _money(tax.base)),
                    ("tarifa", tax.rate if rate else None),
                    ("valor", _money(tax.amount)),
                    ("valorDevolucionIva", _money(min(refund, tax.amount)) if refund and tax.rate else None),
                ),
            )
            for tax in taxes
        ),
    )


def _payments(rng: Random, total: int, *, terms: bool = True) -> str:
    first = total if total < 2000 or rng.random() < 0.6 else total // 3
    parts = [first, total - first] if first != total else [total]
    return _in(
        "pagos",
        "".join(
            _in(
                "pago",
                _tags(
                    ("formaPago", rng.choice(("01", "16", "19", "20"))),
                    ("total", _money(part)),
                    *((("plazo", "30"), ("unidadTiempo", "dias")) if terms and rng.random() < 0.4 else ()),
                ),
            )
            for part in parts
        ),
    )


def _additional(wishes: _Wishes, party: _Party | None) -> str:
    rng = wishes.rng
    fields = [
        ("RUC Proveedor", "1799999990001"),
        ("Dirección", (party.address if party else None) or "SIN DIRECCIÓN"),
        ("Email", "nadie@ejemplo.invalid"),
        ("Teléfono", f"02-{rng.randint(0, 9_999_999):07d}"),
        ("Observación", wishes.words("GRACIAS POR SU COMPRA <3 & VUELVA PRONTO")),
        *((f"Campo {number}", wishes.words(f"VALOR {number}")) for number in range(6, 16)),
    ]
    count = 15 if "long" in wishes.extras else rng.randint(1, 5)
    texts = [f"<campoAdicional nombre={quoteattr(name)}>{escape(text)}</campoAdicional>" for name, text in fields]
    return _in("infoAdicional", "".join(texts[:count]))


def _machine(wishes: _Wishes) -> str:
    inside = _tags(("marca", "INVENTADA"), ("modelo", "MODELO-0"), ("serie", "000-NADA"))
    return _in("maquinaFiscal", inside) if "machine" in wishes.extras else ""


def _reimbursed(wishes: _Wishes, base: int) -> str:
    rng = wishes.rng
    code, rate = _ordinary_rate(wishes.day)
    tax = _tags(
        ("codigo", "2"),
        ("codigoPorcentaje", code),
        ("tarifa", rate),
        ("baseImponibleReembolso", _money(base)),
        ("impuestoReembolso", _money(_share(base, rate))),
    )
    ruc, day = invent_rucs(1, seed=rng.randrange(10_000))[0], wishes.day_before()
    inside = _tags(
        ("tipoIdentificacionProveedorReembolso", "04"),
        ("identificacionProveedorReembolso", ruc),
        ("codPaisPagoProveedorReembolso", "593"),
        ("tipoProveedorReembolso", "02"),
        ("codDocReembolso", "01"),
        ("estabDocReembolso", "001"),
        ("ptoEmiDocReembolso", "002"),
        ("secuencialDocReembolso", f"{rng.randint(1, 99_999):09d}"),
        ("fechaEmisionDocReembolso", _day(day)),
        ("numeroautorizacionDocReemb", make_key(day, "01", ruc, 7)),
    )
    return _in("reembolsos", _in("reembolsoDetalle", inside + _in("detalleImpuestos", _in("detalleImpuesto", tax))))


def _reimbursement_totals(wishes: _Wishes, base: int) -> tuple[tuple[str, object], ...]:
    tax = _share(base, _ordinary_rate(wishes.day)[1])
    return (
        ("codDocReembolso", "41"),
        ("totalComprobantesReembolso", _money(base + tax)),
        ("totalBaseImponibleReembolso", _money(base)),
        ("totalImpuestoReembolso", _money(tax)),
    )


# --- the six kinds ---------------------------------------------------------------------------------------------------


def _invoice(wishes: _Wishes) -> str:
    rng, extras = wishes.rng, wishes.extras
    export, subsidy = "export" in extras, "subsidy" in extras
    buyer = _party(wishes, final_consumer=True)
    lines = _lines(wishes, excise="excise" in extras)
    taxes = _summed(lines)
    net, discounts = sum(line.total for line in lines), sum(line.discount for line in lines)
    tip = _share(net, 10) if "tip" in extras else 0
    freight = 1250 if export else 0
    refund = 150 if "refund" in extras else 0
    third = 375 if "third_parties" in extras and wishes.version in _FULL_TRANSPORT else 0
    refunded = sum(min(refund, tax.amount) for tax in taxes if refund and tax.rate)
    total = net + sum(tax.amount for tax in taxes) + tip + freight * 4 + third - refunded
    info = _tags(
        ("fechaEmision", _day(wishes.day)),
        ("dirEstablecimiento", wishes.words(wishes.issuer.address)),
        ("contribuyenteEspecial", wishes.issuer.special),
        ("obligadoContabilidad", _books(wishes)),
        *(_export_terms(wishes) if export else ()),
        ("tipoIdentificacionComprador", buyer.kind),
        ("guiaRemision", wishes.other_number() if rng.random() < 0.2 else None),
        ("razonSocialComprador", buyer.name),
        ("identificacionComprador", buyer.identification),
        ("direccionComprador", buyer.address),
        ("totalSinImpuestos", _money(net)),
        ("totalSubsidio", _money(net // 2) if subsidy else None),
        ("incoTermTotalSinImpuestos", "FOB" if export else None),
        ("totalDescuento", _money(discounts)),
        *(_reimbursement_totals(wishes, net) if "reimbursement" in extras else ()),
    )
    info += _total_taxes(taxes, rate=rng.random() < 0.5, refund=refund)
    info += _tags(
        ("propina", _money(tip)),
        *(
            (name, _money(freight) if export else None)
            for name in ("fleteInternacional", "seguroInternacional", "gastosAduaneros", "gastosTransporteOtros")
        ),
        ("importeTotal", _money(total)),
        ("moneda", "DOLAR"),
        ("placa", "AAA0000" if subsidy else None),
    )
    if not (buyer.kind == "07" and rng.random() < 0.5):  # many till receipts leave it out
        info += _payments(rng, total)
    names = ("codigoPrincipal", "codigoAuxiliar")
    details = "".join(_line_tags(line, names=names, unit=True, subsidy=subsidy) for line in lines)
    return (
        _in("infoFactura", info)
        + _in("detalles", details)
        + (_reimbursed(wishes, net) if "reimbursement" in extras else "")
        + _invoice_blocks(wishes, third)
        + _machine(wishes)
        + _additional(wishes, buyer)
    )


def _export_terms(wishes: _Wishes) -> tuple[tuple[str, object], ...]:
    return (
        ("comercioExterior", "EXPORTADOR"),
        ("incoTermFactura", "FOB"),
        ("lugarIncoTerm", wishes.words("PUERTO INVENTADO")),
        ("paisOrigen", "593"),
        ("puertoEmbarque", wishes.words("PUERTO DE NADIE")),
        ("puertoDestino", wishes.words("NOWHERE HARBOUR")),
        ("paisDestino", "110"),
        ("paisAdquisicion", "110"),
    )


def _invoice_blocks(wishes: _Wishes, third: int) -> str:
    """Write the blocks that only some versions have, and those after them."""
    found = ""
    if "fuel_retention" in wishes.extras and wishes.version in _SIX_DECIMALS:
        pairs = (("codigo", "4"), ("codigoPorcentaje", "3"), ("tarifa", "0.20"), ("valor", "0.13"))
        found += _in("retenciones", _in("retencion", _tags(*pairs)))
    if "transport" in wishes.extras and wishes.version in _FULL_TRANSPORT:
        found += _in("infoSustitutivaGuiaRemision", _substitute_note(wishes))
    if third:
        rubro = _tags(("concepto", wishes.words("TASA DE BOMBEROS DE MENTIRA")), ("total", _money(third)))
        found += _in("otrosRubrosTerceros", _in("rubro", rubro))
    if "negotiable" in wishes.extras:
        found += _in("tipoNegociable", _tags(("correo", "nadie@ejemplo.invalid")))
    return found


def _substitute_note(wishes: _Wishes) -> str:
    target = _tags(
        ("motivoTraslado", wishes.words("VENTA")),
        ("docAduaneroUnico", "000-2026-00-00000000"),
        ("codEstabDestino", "001"),
        ("ruta", wishes.words("QUITO - AMBATO")),
    )
    return _tags(
        ("dirPartida", wishes.words(wishes.issuer.address)),
        ("dirDestinatario", wishes.words(_address(wishes.rng))),
        ("fechaIniTransporte", _day(wishes.day)),
        ("fechaFinTransporte", _day(wishes.day + timedelta(days=1))),
        ("razonSocialTransportista", wishes.words("TRANSPORTES LA TORTUGA VELOZ S.A.")),
        ("tipoIdentificacionTransportista", "04"),
        ("rucTransportista", "1799999990001"),
        ("placa", "AAA0000"),
    ) + _in("destinos", _in("destino", target) * 2)


def _purchase_settlement(wishes: _Wishes) -> str:
    rng, extras = wishes.rng, wishes.extras
    seller = _party(wishes)
    lines = _lines(wishes)
    taxes = _summed(lines)
    net = sum(line.total for line in lines)
    total = net + sum(tax.amount for tax in taxes)
    reimbursement = "reimbursement" in extras
    info = _tags(
        ("fechaEmision", _day(wishes.day)),
        ("dirEstablecimiento", wishes.words(wishes.issuer.address)),
        ("contribuyenteEspecial", wishes.issuer.special),
        ("obligadoContabilidad", _books(wishes)),
        ("tipoIdentificacionProveedor", seller.kind),
        ("razonSocialProveedor", seller.name),
        ("identificacionProveedor", seller.identification),
        ("direccionProveedor", seller.address),
        ("totalSinImpuestos", _money(net)),
        ("totalDescuento", _money(sum(line.discount for line in lines))),
        *(_reimbursement_totals(wishes, net) if reimbursement else ()),
    )
    info += _total_taxes(taxes, rate=False) + _tags(("importeTotal", _money(total)), ("moneda", "DOLAR"))
    info += _payments(rng, total)
    names = ("codigoPrincipal", "codigoAuxiliar")
    return (
        _in("infoLiquidacionCompra", info)
        + _in("detalles", "".join(_line_tags(line, names=names, unit=True) for line in lines))
        + (_reimbursed(wishes, net) if reimbursement else "")
        + _machine(wishes)
        + _additional(wishes, seller)
    )


def _note_head(wishes: _Wishes, buyer: _Party, net: int) -> tuple[tuple[str, object], ...]:
    """With what each note begins: whom it is for, and which document it changes."""
    return (
        ("fechaEmision", _day(wishes.day)),
        ("dirEstablecimiento", wishes.words(wishes.issuer.address)),
        ("tipoIdentificacionComprador", buyer.kind),
        ("razonSocialComprador", buyer.name),
        ("identificacionComprador", buyer.identification),
        ("contribuyenteEspecial", wishes.issuer.special),
        ("obligadoContabilidad", _books(wishes)),
        ("codDocModificado", "01"),
        ("numDocModificado", wishes.other_number()),
        ("fechaEmisionDocSustento", _day(wishes.day_before())),
        ("totalSinImpuestos", _money(net)),
    )


def _credit_note(wishes: _Wishes) -> str:
    buyer = _party(wishes)
    lines = _lines(wishes, excise="excise" in wishes.extras)
    taxes = _summed(lines)
    net = sum(line.total for line in lines)
    info = _tags(
        *_note_head(wishes, buyer, net),
        ("valorModificacion", _money(net + sum(tax.amount for tax in taxes))),
        ("moneda", "DOLAR"),
    )
    info += _total_taxes(taxes, rate=False) + _tags(("motivo", wishes.words("DEVOLUCIÓN DE MERCADERÍA")))
    names = ("codigoInterno", "codigoAdicional")
    return (
        _in("infoNotaCredito", info)
        + _in("detalles", "".join(_line_tags(line, names=names, unit=False) for line in lines))
        + _machine(wishes)
        + _additional(wishes, buyer)
    )


def _debit_note(wishes: _Wishes) -> str:
    rng = wishes.rng
    buyer = _party(wishes)
    reasons = [(rng.choice(("INTERÉS POR MORA", "GASTO DE COBRANZA", "FLETE")), rng.randint(100, 9_000))
               for _ in range(wishes.lines)]  # fmt: skip
    net = sum(amount for _, amount in reasons)
    code, rate = _ordinary_rate(wishes.day)
    tax = _tags(
        ("codigo", "2"),
        ("codigoPorcentaje", code),
        ("tarifa", rate),
        ("baseImponible", _money(net)),
        ("valor", _money(_share(net, rate))),
    )
    total = net + _share(net, rate)
    info = _tags(*_note_head(wishes, buyer, net))
    info += _in("impuestos", _in("impuesto", tax)) + _tags(("valorTotal", _money(total))) + _payments(rng, total)
    rows = [_in("motivo", _tags(("razon", wishes.words(why)), ("valor", _money(amount)))) for why, amount in reasons]
    return (
        _in("infoNotaDebito", info)
        + _in("motivos", "".join(rows))
        + _machine(wishes)
        + _additional(wishes, buyer)
    )  # fmt: skip


def _delivery_note(wishes: _Wishes) -> str:
    carrier = _party(wishes)
    info = _tags(
        ("dirEstablecimiento", wishes.words(wishes.issuer.address)),
        ("dirPartida", wishes.words(wishes.issuer.address)),
        ("razonSocialTransportista", carrier.name),
        ("tipoIdentificacionTransportista", carrier.kind),
        ("rucTransportista", carrier.identification),
        ("obligadoContabilidad", _books(wishes)),
        ("contribuyenteEspecial", wishes.issuer.special),
        ("fechaIniTransporte", _day(wishes.day)),
        ("fechaFinTransporte", _day(wishes.day + timedelta(days=wishes.rng.randint(0, 3)))),
        ("placa", f"AAA{wishes.rng.randint(0, 9999):04d}"),
    )
    count = wishes.rng.choice((1, 2, 3))
    return (
        _in("infoGuiaRemision", info)
        + _in("destinatarios", "".join(_recipient(wishes, number, count) for number in range(count)))
        + _machine(wishes)
        + _additional(wishes, carrier)
    )


def _recipient(wishes: _Wishes, number: int, count: int) -> str:
    """One of the recipients of a delivery note, with its share of the lines."""
    rng, party = wishes.rng, _party(wishes)
    day = wishes.day_before()
    known = rng.random() < 0.7
    inside = _tags(
        ("identificacionDestinatario", party.identification),
        ("razonSocialDestinatario", party.name),
        ("dirDestinatario", party.address or _address(rng)),
        ("motivoTraslado", wishes.words("VENTA")),
        ("docAduaneroUnico", "000-2026-00-0000000" if rng.random() < 0.2 else None),
        ("codEstabDestino", "001" if rng.random() < 0.5 else None),
        ("ruta", wishes.words("QUITO - AMBATO - LOJA") if rng.random() < 0.7 else None),
        ("codDocSustento", "01" if known else None),
        ("numDocSustento", wishes.other_number() if known else None),
        ("numAutDocSustento", make_key(day, "01", wishes.issuer.ruc, rng.randint(1, 9999)) if known else None),
        ("fechaEmisionDocSustento", _day(day) if known else None),
    )
    lines = _lines(wishes)[number::count] or _lines(wishes)[:1]
    rows = "".join(
        _in(
            "detalle",
            _tags(
                ("codigoInterno", line.code),
                ("codigoAdicional", line.other_code),
                ("descripcion", line.description),
                ("cantidad", line.quantity),
            )
            + _details(line),
        )
        for line in lines
    )
    return _in("destinatario", inside + _in("detalles", rows))


# tax, retention code, percent
_RETENTIONS: tuple[tuple[str, str, str], ...] = (
    ("1", "312", "1.75"), ("1", "3440", "2.75"), ("1", "303", "10"), ("2", "1", "30"), ("2", "2", "70"),
    ("2", "9", "10"), ("2", "3", "100"), ("6", "4580", "5"),
)  # fmt: skip


def _withholding(wishes: _Wishes) -> str:
    retained = _party(wishes)
    full = wishes.version == "2.0.0"
    special = wishes.issuer.special
    foreign = retained.kind in ("06", "08")
    info = _tags(
        ("fechaEmision", _day(wishes.day)),
        ("dirEstablecimiento", wishes.words(wishes.issuer.address)),
        ("contribuyenteEspecial", special),
        ("obligadoContabilidad", _books(wishes)),
        ("tipoIdentificacionSujetoRetenido", retained.kind),
        ("tipoSujetoRetenido", "01" if full and foreign else None),
        ("parteRel", "NO" if full else None),
        ("razonSocialSujetoRetenido", retained.name),
        ("identificacionSujetoRetenido", retained.identification),
        ("periodoFiscal", f"{wishes.day:%m/%Y}"),
    )
    if full:
        rows = "".join(_supporting_document(wishes) for _ in range(max(1, wishes.lines // 3)))
        body = _in("docsSustento", rows)
    else:
        body = _in("impuestos", "".join(_retention_row(wishes) for _ in range(wishes.lines)))
    return _in("infoCompRetencion", info) + body + _machine(wishes) + _additional(wishes, retained)


def _retention(wishes: _Wishes, base: int) -> tuple[tuple[str, object], ...]:
    tax, code, percent = wishes.rng.choice(_RETENTIONS)
    return (
        ("codigo", tax),
        ("codigoRetencion", code),
        ("baseImponible", _money(base)),
        ("porcentajeRetener", percent),
        ("valorRetenido", _money(_share(base, float(percent)))),
    )


def _retention_row(wishes: _Wishes) -> str:
    return _in(
        "impuesto",
        _tags(
            *_retention(wishes, wishes.rng.randint(1_000, 900_000)),
            ("codDocSustento", "01"),
            ("numDocSustento", wishes.other_number().replace("-", "")),
            ("fechaEmisionDocSustento", _day(wishes.day_before())),
        ),
    )


def _supporting_document(wishes: _Wishes) -> str:
    rng, day = wishes.rng, wishes.day_before()
    net = rng.randint(1_000, 900_000)
    code, rate = _ordinary_rate(wishes.day)
    tax = _share(net, rate)
    inside = _tags(
        ("codSustento", "01"),
        ("codDocSustento", "01"),
        ("numDocSustento", wishes.other_number().replace("-", "")),
        ("fechaEmisionDocSustento", _day(day)),
        ("fechaRegistroContable", _day(wishes.day)),
        ("numAutDocSustento", make_key(day, "01", invent_rucs(1, seed=rng.randrange(10_000))[0], 5)),
        ("pagoLocExt", "01"),
        ("totalSinImpuestos", _money(net)),
        ("importeTotal", _money(net + tax)),
    )
    taxes = _tags(
        ("codImpuestoDocSustento", "2"),
        ("codigoPorcentaje", code),
        ("baseImponible", _money(net)),
        ("tarifa", rate),
        ("valorImpuesto", _money(tax)),
    )
    retentions = "".join(_in("retencion", _tags(*_retention(wishes, base))) for base in (net, max(tax, 1)))
    return _in(
        "docSustento",
        inside
        + _in("impuestosDocSustento", _in("impuestoDocSustento", taxes))
        + _in("retenciones", retentions)
        + _payments(rng, net + tax, terms=False),
    )


_BODIES: Mapping[str, Callable[[_Wishes], str]] = {
    "01": _invoice,
    "03": _purchase_settlement,
    "04": _credit_note,
    "05": _debit_note,
    "06": _delivery_note,
    "07": _withholding,
}


# --- the signature ---------------------------------------------------------------------------------------------------


def _signature(rng: Random) -> str:
    """Return an element of a signature's shape and a tenth of its size."""

    def noise(count: int) -> str:
        return base64.b64encode(rng.randbytes(count)).decode()

    number = rng.randint(1, 999_999)
    return (
        f'<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#" Id="Signature{number}"><ds:SignedInfo>'
        '<ds:CanonicalizationMethod Algorithm="http://www.w3.org/TR/2001/REC-xml-c14n-20010315"/>'
        '<ds:SignatureMethod Algorithm="http://www.w3.org/2000/09/xmldsig#rsa-sha1"/>'
        '<ds:Reference URI="#comprobante"><ds:Transforms>'
        '<ds:Transform Algorithm="http://www.w3.org/2000/09/xmldsig#enveloped-signature"/></ds:Transforms>'
        '<ds:DigestMethod Algorithm="http://www.w3.org/2000/09/xmldsig#sha1"/>'
        f"<ds:DigestValue>{noise(20)}</ds:DigestValue></ds:Reference></ds:SignedInfo>"
        f"<ds:SignatureValue>{noise(256)}</ds:SignatureValue>"
        f"<ds:KeyInfo><ds:X509Data><ds:X509Certificate>{noise(300)}</ds:X509Certificate></ds:X509Data></ds:KeyInfo>"
        "</ds:Signature>"
    )
