"""A button that takes a photograph from the student's machine."""

import io

from ipywidgets import FileUpload
from PIL import Image

from text_recognizer.errors import LabError
from text_recognizer.language import _


class PictureUpload(FileUpload):
    """A button that uploads a picture, such as a photograph of handwriting.

    Taught in notebook 6.

    Where the browser runs on a phone, the button offers the camera, too.

    Examples
    --------
    >>> from lab_utils import PictureUpload
    >>> upload = PictureUpload("A character")
    >>> upload.picture is None  # until somebody has chosen one
    True
    """

    def __init__(self, description: str = ""):
        label = _(description or "Choose a picture")
        super().__init__(accept="image/*", multiple=False, description=label)
        self.layout.width = "16em"

    @property
    def picture(self) -> Image.Image | None:
        """The picture that was chosen last, or None as long as there is none."""
        value = self.value
        if isinstance(value, dict):  # ipywidgets 7, which Colab has
            value = [file | {"name": name} for name, file in value.items()]
        if not value:
            return None
        try:
            picture = Image.open(io.BytesIO(bytes(value[-1]["content"])))
            picture.load()
            return picture
        except Exception as error:  # noqa: BLE001 - decoders raise whatever they stumble on
            raise LabError(
                f"{value[-1]['name']} cannot be read as a picture ({type(error).__name__}): "
                "choose a JPEG or PNG file."
            ) from None
