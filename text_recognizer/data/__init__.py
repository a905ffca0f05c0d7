"""The data modules; each is imported when it is first used."""

from importlib import import_module

_MODULES = {
    "BaseDataModule": "base_data_module",
    "EMNIST": "emnist",
    "EMNISTLines": "emnist_lines",
    "MNIST": "mnist",
    "MyHandwriting": "my_handwriting",
    "SentenceGenerator": "sentence_generator",
}


def __getattr__(name: str):
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
