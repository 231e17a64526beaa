"""The words by which the SRI and files name the state of a document, in the one spelling in which they are compared."""

from __future__ import annotations

import re
import unicodedata

# Source: docs/facts/sri.md, "States".
AUTHORIZED = frozenset({"AUTORIZADO", "AUTORIZADA", "AUT"})
ANNULLED = frozenset(
    {"ANULADO", "ANULADA", "PENDIENTE DE ANULAR", "PENDIENTE ANULAR", "PENDIENTE DE ANULACION", "PENDIENTE ANULACION"}
)
_INVISIBLE = re.compile("[\u0300-\u036f\u00ad\u200b-\u200f\u2060\ufeff]")  # accents, and what has no width
_NO_WORD = re.compile(r"[\W_]+")


def normal_state(state: str) -> str:
    """
    Return a state in the one spelling that is compared: plain capital letters with single blanks between the words.

    >>> normal_state("  no_autorizado "), normal_state("En-Proceso..."), normal_state("PENDIENTE DE ANULACIÓN")
    ('NO AUTORIZADO', 'EN PROCESO', 'PENDIENTE DE ANULACION')
    """
    plain = _INVISIBLE.sub("", unicodedata.normalize("NFKD", state).upper())
    return " ".join(_NO_WORD.sub(" ", plain).split())
