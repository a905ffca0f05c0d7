"""A reader of lines for the tests: parts the strokes where there are gaps, reads part by part."""

from lab_utils import Recognizer

GAP, SPACE = 6, 40  # units between characters and between words, at least


class GapReader:
    """Has the interface of the line recogniser; prints well, with letters that don't touch."""

    def __init__(self):
        self.recognizer = Recognizer.pretrained(equal_classes=True)
        self.guides = []

    def predict_line(self, strokes, guides=None):
        self.guides.append(guides)
        parts, right = [], None
        for stroke in sorted(strokes, key=lambda stroke: min(point[0] for point in stroke)):
            left = min(point[0] for point in stroke)
            if right is None or left - right > GAP:
                if right is not None and left - right > SPACE:
                    parts.append([])
                parts.append([])
            parts[-1].append(stroke)
            right = max(right or 0, *(point[0] for point in stroke))
        answers = [self.recognizer.predict(p) if p else [(" ", 1.0)] for p in parts]
        text = "".join(found[0][0] for found in answers)
        return text, [found[0][1] for found in answers], answers
