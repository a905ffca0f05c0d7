"""Lets figures show Hangul, which the fonts of matplotlib and of Colab do not have."""

from matplotlib import font_manager, rcParams

from text_recognizer.paths import bundled


def add_hangul() -> None:
    """Take the bundled font for whatever the usual ones do not have."""
    path = str(bundled("hangul.ttf"))
    font_manager.fontManager.addfont(path)
    name = font_manager.get_font(path).family_name
    if name not in rcParams["font.family"]:
        rcParams["font.family"] = [*rcParams["font.family"], name]
