"""Paper: texts that stay in their room."""

from __future__ import annotations

import pytest

from jobsync.ride.paper.fonts import printable
from jobsync.ride.paper.sheet import Ink, Sheet

INK = Ink(7.4)


@pytest.mark.parametrize("width", [4.0, 12.5, 33.3, 90.0])
@pytest.mark.parametrize(
    "text",
    [
        "W" * 300,
        "una descripción corta",
        "palabra " * 60,
        "correo.muy.largo.sin.blancos@dominio-muy-largo.example/" * 6,
        "a " + "B" * 200 + " c",
    ],
)
def test_no_line_is_wider_than_its_room(text: str, width: float) -> None:
    """Whatever the text, every line fits, and nothing of it is lost."""
    sheet = Sheet()

    lines = sheet.wrap(text, width, INK)

    assert max(sheet.measure(line, INK) for line in lines) <= width + 0.01
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")


def test_long_words_break_behind_punctuation() -> None:
    """A place that reads well is taken if it is near the end of the line."""
    lines = Sheet().wrap("contabilidad.general@comercialandina.example", 30, INK)

    assert lines[0].endswith(("@", "."))


@pytest.mark.parametrize(
    ("text", "expected", "missing"),
    [
        ("  dos   blancos\t\n", "dos blancos", set()),
        ("Muñoz – «ñandú» €", "Muñoz – «ñandú» €", set()),
        ("Dvořák, Łódź, Ștefan", "Dvořák, Łódź, Ștefan", set()),
        ("cafe\u0301", "caf\u00e9", set()),
        ("ＡＢＣ １２", "ABC 12", set()),
        ("ﬁn", "fin", set()),
        ("sonrisa 😀", "sonrisa \ufffd", {"😀"}),
        ("漢字", "\ufffd\ufffd", {"漢", "字"}),
        ("oculto\u200b\u00ad\ufeff", "oculto", set()),
        ("\ufffd", "\ufffd", set()),
        ("", "", set()),
    ],
)
def test_printable(text: str, expected: str, missing: set[str]) -> None:
    """Only characters that the font has are printed; what it lacks is marked and named."""
    assert (expected, missing) == printable(text)


def test_small_font_files_are_enough_for_spanish() -> None:
    """Only other letters ask for the large ones."""
    sheet = Sheet()
    sheet.clean("Año, pingüino, ¿qué? “comillas” – 3 €")
    small = sheet.latin
    sheet.clean("Dvořák")

    assert (True, False) == (small, sheet.latin)
