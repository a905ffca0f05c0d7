"""From a picture or strokes to what they say."""
