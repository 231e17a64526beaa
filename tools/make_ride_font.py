"""
Make the font files of the printed form from the family's own ones; run once, its results are in the repository.

    python tools/make_ride_font.py FOLDER

FOLDER holds RobotoCondensed-Regular.ttf and -Bold.ttf, for example from Debian's package fonts-roboto-unhinted
(2:0~20170802). Needs fontTools, which fpdf2 brings along. See docs/decisions/0011-printed-form-font.md.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from fontTools.subset import Options, Subsetter
from fontTools.ttLib import TTFont

TARGET = Path(__file__).parents[1] / "src/jobsync/ride/paper/faces"
FACES = {"regular": "RobotoCondensed-Regular.ttf", "bold": "RobotoCondensed-Bold.ttf"}
PUNCTUATION = "–—‘’“”•…€\ufffd"
LATIN = [*range(0x20, 0x7F), *(code for code in range(0xA1, 0x100) if code != 0xAD), *map(ord, PUNCTUATION)]
# Latin Extended-A, Romanian commas, signs that are met in descriptions and prices
FULL = [*LATIN, *range(0x100, 0x180), *map(ord, "ȘșȚțˆ˜‐‑‒―‚„†‡‰′″‹›⁄⁴™№−≈≠≤≥∞₡₤₧₫ℓΩμπ")]
DROPPED = ["GSUB", "GPOS", "GDEF", "DSIG", "OS/2", "STAT", "cvt ", "fpgm", "gasp", "kern", "meta", "post", "prep"]


def subset(path: Path, codes: list[int]) -> TTFont:
    """Return the font with the glyphs for these codes and nothing a PDF has no use for."""
    font = TTFont(path, recalcTimestamp=False)
    options = Options()
    options.hinting = False
    options.layout_features = []
    options.glyph_names = False
    options.notdef_outline = True
    options.name_IDs = [0, 1, 2, 4, 6, 13, 14]
    options.drop_tables += DROPPED
    subsetter = Subsetter(options)
    subsetter.populate(unicodes=codes)
    subsetter.subset(font)
    return font


def main(folder: Path) -> None:
    """Write two sizes of each face, and the numbers that measuring and embedding need."""
    facts = {}
    for face, name in FACES.items():
        whole = TTFont(folder / name)
        per_em = whole["head"].unitsPerEm
        characters = whole.getBestCmap()
        missing = [chr(code) for code in FULL if code not in characters]
        if missing:
            raise SystemExit(f"{name} lacks {missing}")
        facts[face] = {
            "name": name.removesuffix(".ttf"),
            "ascent": round(whole["hhea"].ascent * 1000 / per_em),
            "descent": round(whole["hhea"].descent * 1000 / per_em),
            "cap_height": round(whole["OS/2"].sCapHeight * 1000 / per_em),
            "box": [round(getattr(whole["head"], side) * 1000 / per_em) for side in ("xMin", "yMin", "xMax", "yMax")],
            "widths": {
                chr(code): round(whole["hmtx"][characters[code]][0] * 1000 / per_em, 1) for code in sorted(FULL)
            },
            "glyphs": {},
        }
        for size, codes in (("latin", LATIN), ("full", FULL)):
            font = subset(folder / name, codes)
            ids = {chr(code): font.getGlyphID(glyph) for code, glyph in sorted(font.getBestCmap().items())}
            facts[face]["glyphs"][size] = [ids[chr(code)] for code in sorted(codes)]
            font.save(TARGET / f"{face}-{size}.ttf")
    (TARGET / "facts.json").write_text(json.dumps(facts, ensure_ascii=False, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
