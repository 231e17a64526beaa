"""Any document leads to a page or to a clear refusal."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobsync.cli import main
from tests.ride import documents

_WHOLE = [
    documents.invoice(),
    documents.credit_note(),
    documents.debit_note(),
    documents.delivery_note(),
    documents.purchase_settlement(),
    documents.withholding(),
]
_VALUES = st.one_of(
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=400),
    st.sampled_from(
        ["", " ", "-1", "0", "1e9", "9" * 40, "0.000001", "NaN", "12,50", "31/02/2026", "x" * 2000, "\t\n"]
    ),
    st.decimals(allow_nan=False, allow_infinity=False).map(str),
).map(lambda text: text.replace("&", "&amp;").replace("<", "&lt;"))
_LEAF = re.compile(rb"<(\w+)>([^<]*)</\1>")
_BLOCK = re.compile(
    rb"<(detalle|pago|totalImpuesto|campoAdicional|impuesto|destinatario|infoTributaria)\b.*?</\1>", re.DOTALL
)


@st.composite
def changed(draw: st.DrawFn) -> bytes:
    """Return a document with values replaced, elements lost or repeated, or bytes damaged."""
    xml = draw(st.sampled_from(_WHOLE))
    for _ in range(draw(st.integers(0, 4))):
        found = list((_LEAF if draw(st.booleans()) else _BLOCK).finditer(xml))
        if not found:
            continue
        one = draw(st.sampled_from(found))
        whole = one.group()
        value = b"<%b>%b</%b>" % (one[1], draw(_VALUES).encode(), one[1])
        new = draw(st.sampled_from([b"", whole * 2, whole * 40, value]))
        xml = xml[: one.start()] + new + xml[one.end() :]
    if draw(st.integers(0, 9)) == 0:
        at = draw(st.integers(0, len(xml)))
        xml = xml[:at] + draw(st.binary(max_size=8)) + xml[at + draw(st.integers(0, 8)) :]
    return xml


@settings(max_examples=60)
@given(xml=changed(), state=st.sampled_from(["AUTORIZADO", "NO AUTORIZADO", "", None]))
def test_any_document_is_printed_or_refused(
    xml: bytes, state: str | None, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    """A whole PDF and exit 0, or no file and a sentence that says why; never a traceback."""
    folder: Path = tmp_path_factory.mktemp("ride")
    source, target = folder / "document.xml", folder / "document.pdf"
    answer = b"<autorizacion><estado>%b</estado><comprobante><![CDATA[%b]]></comprobante></autorizacion>"
    source.write_bytes(xml if state is None else answer % (state.encode(), xml.replace(b"]]>", b"")))
    capsys.readouterr()

    code = main.run(["ride", "render", str(source), "-o", str(target)])

    said = capsys.readouterr().err
    assert "Traceback" not in said
    if code == 0:
        pdf = target.read_bytes()
        assert pdf.startswith(b"%PDF-")
        assert pdf.rstrip().endswith(b"%%EOF")
    else:
        assert (True, False) == ("jobsync: " in said, target.exists())
