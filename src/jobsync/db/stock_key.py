"""The SQL function behind vehicles.stock_key, and the signs that it and its twin in Python leave out."""

from __future__ import annotations

from typing import LiteralString

# What str.split() cuts at.
BLANKS: LiteralString = (
    "\t\n\x0b\x0c\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
# Signs without width: soft hyphen, joiners, marks of direction, byte order mark, selectors of a glyph.
ZERO_WIDTH = (
    "\xad\u034f\u061c\u180b\u180c\u180d\u180e\u180f\u200b\u200c\u200d\u200e\u200f\u202a"
    "\u202b\u202c\u202d\u202e\u2060\u2061\u2062\u2063\u2064\u2065\u2066\u2067\u2068\u2069"
    "\u206a\u206b\u206c\u206d\u206e\u206f\ufe00\ufe01\ufe02\ufe03\ufe04\ufe05\ufe06\ufe07"
    "\ufe08\ufe09\ufe0a\ufe0b\ufe0c\ufe0d\ufe0e\ufe0f\ufeff"
)


def _literal(signs: str) -> str:
    """Spell signs so that neither a session's settings nor an editor changes them."""
    return "E'" + "".join(f"\\u{ord(sign):04x}" for sign in signs) + "'"


# The first case, plain ASCII, is nearly every number. Folding may let two signs become one, hence the second NFC: H
# with a line below has no sign of its own, h has.
STOCK_KEY_FUNCTION = f"""
CREATE OR REPLACE FUNCTION jobsync_stock_key(number text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN number COLLATE "C" ~ '^[!-~]+( [!-~]+)*$' THEN lower(number COLLATE "C")
    ELSE normalize(lower(btrim(regexp_replace(translate(
        normalize(translate(number, {_literal(ZERO_WIDTH)}, ''), NFC),
        {_literal(BLANKS)}, '{" " * len(BLANKS)}'), ' {{2,}}', ' ', 'g'), ' ') COLLATE "C"), NFC)
END
"""
