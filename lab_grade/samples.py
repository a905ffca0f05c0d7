"""Two halves of the bundled sample's test images: one for notebooks, one for checks."""

from pathlib import Path


def split_sample(folder: Path) -> dict[str, str]:
    """Write both halves into a folder; what a notebook cannot see, it cannot look up.

    One is `emnist_sample.h5`, which is shown for the bundled file in a sandbox: these two are
    returned. The other is `LAB_DATA_DIR/emnist.h5`, which `EMNIST` finds where that is set.
    """
    import h5py
    import numpy as np

    from text_recognizer.files.prepared import SAMPLE_FILE, set_texts
    from text_recognizer.paths import bundled

    whole = bundled(SAMPLE_FILE)
    for start, path in enumerate((folder / SAMPLE_FILE, folder / "LAB_DATA_DIR" / "emnist.h5")):
        with h5py.File(whole) as old, h5py.File(path, "w") as new:
            set_texts(new, source=old.attrs["source"].decode(), made_from=SAMPLE_FILE)
            for name in ("x_train", "y_train"):
                old.copy(name, new)
            labels = old["y_test"][:]
            chosen = np.sort(np.argsort(labels, kind="stable")[start::2])  # of each class, half
            for name in ("x_test", "y_test"):
                new.create_dataset(name, data=old[name][:][chosen], chunks=True, fletcher32=True)
    return {str(whole): str(folder / SAMPLE_FILE)}
