"""Sets up a notebook on Colab: shows the canvas, and keeps what students make on their Drive."""

import os
from importlib import import_module
from pathlib import Path

from text_recognizer.language import _

DRIVE = Path("/content/drive")
ON_DRIVE = DRIVE / "MyDrive" / "handwriting_lab"


def set_up() -> None:
    """Let Colab show the canvas, and keep data on Drive if the student says yes.

    Called by `import lab_utils`, before anything is read.
    """
    import_module("google.colab.output").enable_custom_widget_manager()
    choose_folder()


def choose_folder() -> None:
    """Ask where data are kept, unless `LAB_DATA_DIR` or an earlier answer says it."""
    if "LAB_DATA_DIR" in os.environ:
        return
    if not ON_DRIVE.is_dir():  # it is there where the answer was yes before a restart
        question = _("Keep drawings and prepared data on your Google Drive? [y/N] ")
        try:
            answer = input(question).strip().lower()
        except NotImplementedError:  # a program runs the cells
            return
        if answer not in ("y", "yes", "예", "네"):
            return
        try:
            import_module("google.colab.drive").mount(str(DRIVE))
            ON_DRIVE.mkdir(exist_ok=True)
        except Exception as error:  # noqa: BLE001 - whatever Colab raises where access is refused
            reason = " ".join(str(error).split()) or type(error).__name__
            print(
                _(f"Drive cannot be used ({reason}): what you make is kept until you disconnect.")
            )
            return
    os.environ["LAB_DATA_DIR"] = str(ON_DRIVE)
    print(_(f"Drawings and prepared data are kept in {ON_DRIVE}."))
