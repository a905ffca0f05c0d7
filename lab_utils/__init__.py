"""What the notebooks of the handwriting lab import: `__init__.pyi` lists it, notebook by notebook.

Each name is loaded when it is first used, so that `import lab_utils` itself costs next to nothing.
"""

import ast
import sys
from importlib import import_module
from pathlib import Path

_STUB = ast.parse(Path(__file__).with_suffix(".pyi").read_text(encoding="utf-8"))
_MODULES = {
    alias.name: str(node.module)
    for node in _STUB.body
    if isinstance(node, ast.ImportFrom)
    for alias in node.names
}
__all__ = sorted(_MODULES)  # noqa: PLE0605 - the names of the stub


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_MODULES[name]), name)
    globals()[name] = value  # the next look-up finds it without this function
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _set_up_notebook() -> None:
    """Set up how this notebook computes, shows errors and remembers the checks that pass in it."""
    shell = sys.modules["IPython"].get_ipython()
    if shell is not None:
        threads = import_module("text_recognizer.threads")
        threads.limit_threads()
        threads.keep_freed_memory()
        if import_module(f"{__name__}.friendly_errors").choose_language() == "ko":
            import_module(f"{__name__}.fonts").add_hangul()
        import_module(f"{__name__}.friendly_errors").set_up(shell)
        import_module(f"{__name__}.start_page").remember_passes(shell)
        if "google.colab" in str(shell):
            import_module(f"{__name__}.colab").set_up()


if "IPython" in sys.modules:
    _set_up_notebook()
