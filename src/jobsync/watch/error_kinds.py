"""Which failures are the same failure: an error's text without what differs each time it happens."""

from __future__ import annotations

import re
from hashlib import blake2b

_MOST = 300
# What differs from one occurrence to the next, in the order in which it is looked for.
_VARYING = (
    (re.compile(r"\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b", re.IGNORECASE), "<id>"),
    (re.compile(r"\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?"), "<time>"),
    (re.compile(r"\b0x[0-9a-f]+\b", re.IGNORECASE), "<id>"),
    (re.compile(r"\b(?=[0-9a-f]*\d)(?=[0-9a-f]*[a-f])[0-9a-f]{8,}\b", re.IGNORECASE), "<id>"),
    (re.compile(r"'[^']{1,200}'|\"[^\"]{1,200}\"|«[^»]{1,200}»"), "<text>"),
    (re.compile(r"(?<![A-Za-z])[+-]?\d+(?:[.,:]\d+)*"), "#"),
)
# Numbers that say what happened, and so must not be made alike.
_TELLING = re.compile(r"\b(?:Code|HTTP|exit|status|code) \d+", re.IGNORECASE)
_KEPT = re.compile("\ue000(.)", re.DOTALL)


def normalise(error: str) -> str:
    """
    Return the text with ids, instants, quoted pieces and numbers taken out; codes that say what happened stay.

    >>> normalise("HTTP 503 from host after 12.5 s, run 6f1c2a34-0000-4000-8000-00000000abcd")
    'HTTP 503 from host after # s, run <id>'
    """
    text = " ".join(error.split())[:2000].replace("\ue000", " ")
    # a character from the private area stands for each kept number while the others go
    kept: list[str] = []

    def keep(found: re.Match[str]) -> str:
        kept.append(found[0])
        return f"\ue000{chr(0xE100 + min(len(kept) - 1, 0x700))}"

    text = _TELLING.sub(keep, text)
    for pattern, name in _VARYING:
        text = pattern.sub(name, text)
    text = _KEPT.sub(lambda found: kept[ord(found[1]) - 0xE100] if ord(found[1]) - 0xE100 < len(kept) else "", text)
    return text if len(text) <= _MOST else text[: _MOST - 1] + "…"


def fingerprint(error: str) -> str:
    """
    Return eight hexadecimal digits that are the same for the same kind of failure.

    >>> fingerprint("no answer within 60 s") == fingerprint("no answer within 15 s")
    True
    """
    return blake2b(normalise(error).encode("utf-8", "replace"), digest_size=4).hexdigest()
