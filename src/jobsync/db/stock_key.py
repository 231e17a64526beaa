"""The SQL function behind vehicles.stock_key, and the signs that it and its twin in Python leave out."""

from __future__ import annotations

from typing import LiteralString

# What str.split() cuts at.
BLANKS: LiteralString = (
    "\t\n\x0b\x0c\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
# Signs without width: soft hyphen, joiners, marks of direction, byte order mark, selectors of a glyph.
ZERO_WIDTH = "".join(
    chr(code)
    for first, last in (
        (0xAD, 0xAD),
        (0x34F, 0x34F),
        (0x61C, 0x61C),
        (0x180B, 0x180F),
        (0x200B, 0x200F),
        (0x202A, 0x202E),
        (0x2060, 0x206F),
        (0xFE00, 0xFE0F),
        (0xFEFF, 0xFEFF),
    )
    for code in range(first, last + 1)
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
