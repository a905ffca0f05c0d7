"""The 83 classes of the course: special tokens, characters, punctuation; and the parts of data."""

import string

PARTS = ("train", "val", "test")
DIGITS = list(string.digits)
SPECIAL_TOKENS = ["<B>", "<S>", "<E>", "<P>"]  # blank (CTC), start, end and padding of a line
BLANK, START, END, PADDING = range(4)  # the labels of these
CHARACTERS = DIGITS + list(string.ascii_uppercase + string.ascii_lowercase)
PUNCTUATION = list(" !\"#&'()*+,-./:;?")
MAPPING = SPECIAL_TOKENS + CHARACTERS + PUNCTUATION
SPACE = MAPPING.index(" ")
FIRST_CHARACTER = 4  # where "0" stands in the mapping, after the four special tokens
CHARACTER_LABELS = range(FIRST_CHARACTER, FIRST_CHARACTER + len(CHARACTERS))
DIGIT_LABELS = range(FIRST_CHARACTER, FIRST_CHARACTER + len(DIGITS))


def decode_labels(labels) -> str:
    """Return the text of labels, without special tokens."""
    return "".join(MAPPING[label] for label in labels if label >= len(SPECIAL_TOKENS))
