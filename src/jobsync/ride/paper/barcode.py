"""Code 128 of a row of digits, as widths of bars and spaces. Source: ISO/IEC 15417."""

from __future__ import annotations

QUIET_MODULES = 10  # on either side, blank
# A hundredth of an inch: above the 0.25 mm that office printers hold, and whole dots at 200, 300 and 600 dots per inch
# if the first bar stands on such a hundredth too; readers then see sharp edges on screen and paper.
MODULE_MM = 0.254

_START_C = 105
_CODE_B = 100
_STOP = "2331112"
# bar, space, bar, space, bar, space in modules, for the values 0 to 105
_TABLE = (
    "212222 222122 222221 121223 121322 131222 122213 122312 132212 221213 221312 231212 112232 122132 122231 113222 "
    "123122 123221 223211 221132 221231 213212 223112 312131 311222 321122 321221 312212 322112 322211 212123 212321 "
    "232121 111323 131123 131321 112313 132113 132311 211313 231113 231311 112133 112331 132131 113123 113321 133121 "
    "313121 211331 231131 213113 213311 213131 311123 311321 331121 312113 312311 332111 314111 221411 431111 111224 "
    "111422 121124 121421 141122 141221 112214 112412 122114 122411 142112 142211 241211 221114 413111 241112 134111 "
    "111242 121142 121241 114212 124112 124211 411212 421112 421211 212141 214121 412121 111143 111341 131141 114113 "
    "114311 411113 411311 113141 114131 311141 411131 211412 211214 211232"
)
_PATTERNS = [_TABLE[place : place + 6] for place in range(0, len(_TABLE), 7)]


def code128(digits: str) -> list[int]:
    """
    Return the widths of bars and spaces in modules, in turn, beginning with a bar; quiet zones are not among them.

    Pairs of the ASCII digits go into subset C, an odd last one into subset B.

    >>> sum(code128("0" * 49))
    321
    """
    values = [_START_C, *(int(digits[place : place + 2]) for place in range(0, len(digits) - 1, 2))]
    if len(digits) % 2:
        values += [_CODE_B, ord(digits[-1]) - 32]
    values.append((values[0] + sum(place * value for place, value in enumerate(values))) % 103)
    return [int(width) for value in values for width in _PATTERNS[value]] + [int(width) for width in _STOP]
