"""Cuts the font for Hangul in figures out of Gowun Dodum: `data/hangul.ttf` and its licence.

    python tools/assets/make_hangul_font.py

matplotlib's own fonts have no Hangul, and neither has Colab. Kept are the 2,350 syllables of
KS X 1001. It needs fonttools, and `npm` to fetch the font.
"""

import shutil

from fontTools import subset
from fontTools.ttLib import TTFont
from make_sample import DATA, FONTS, install_packages

FAMILY, VERSION = "gowun-dodum", "5.3.0"
# Rows and cells of KS X 1001 that hold syllables, as EUC-KR writes them.
ROWS, CELLS = range(0xB0, 0xC9), range(0xA1, 0xFF)


def main() -> None:
    FONTS.mkdir(exist_ok=True)
    install_packages(FONTS / FAMILY, {f"@fontsource/{FAMILY}": VERSION})
    package = FONTS / FAMILY / "node_modules" / "@fontsource" / FAMILY
    # The file's own time, so that the same font gives the same bytes.
    font = TTFont(package / "files" / f"{FAMILY}-korean-400-normal.woff", recalcTimestamp=False)
    options = subset.Options(hinting=False, layout_features=[], name_IDs=[0, 1, 2, 4])
    subsetter = subset.Subsetter(options)
    subsetter.populate(text="".join(bytes([r, c]).decode("euc-kr") for r in ROWS for c in CELLS))
    subsetter.subset(font)
    font.flavor = None
    font.save(DATA / "hangul.ttf")
    shutil.copy(package / "LICENSE", DATA / "hangul_licence.txt")


if __name__ == "__main__":
    main()
