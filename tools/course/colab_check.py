"""Runs the notebooks beside the packages that Colab has, and draws on the canvas in a browser.

    python tools/course/colab_check.py labs/*.ipynb

A virtual environment in build/colab gets the versions in colab_versions.txt and a stand-in for
`google.colab`. The first cell of a notebook installs the lab into it: from an address, from a wheel
that is uploaded, and from one beside the notebook. What was there must still be there, unchanged.
"""

import argparse
import contextlib
import functools
import http.server
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from pathlib import Path

import nbformat
from links import BRANCH, ROOT, make_setup
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from playwright.sync_api import Error

sys.path.insert(0, str(ROOT / "tests" / "browser"))
from lab import SCREENSHOTS, Canvas, chromium, find_chromium, find_free_port, serve

from lab_utils import sample_strokes

MAX_INSTALL = 30  # seconds
PROJECT = "/somebody/handwriting"
VERSIONS = Path(__file__).with_name("colab_versions.txt")
FOLDER = ROOT / "build" / "colab"
BIN = FOLDER / "venv" / "bin"
# What Colab's own package does, as far as a notebook of the lab notices.
STAND_IN = {
    "__init__.py": "from google.colab import drive, files, output\n",
    "drive.py": "def mount(path):\n    raise ValueError('mount failed')\n",
    "files.py": (
        "import os, shutil\nfrom pathlib import Path\n\n\ndef upload():\n"
        "    chosen = Path(os.environ['CHOSEN'])\n    shutil.copy(chosen, chosen.name)\n"
        "    return {chosen.name: chosen.read_bytes()}\n"
    ),
    "output.py": "def enable_custom_widget_manager():\n    pass\n",
    "_shell.py": (
        "from ipykernel.zmqshell import ZMQInteractiveShell\n\n\n"
        "class Shell(ZMQInteractiveShell):\n    pass\n"
    ),
    "_kernel.py": (
        "import google.colab\nfrom google.colab._shell import Shell\n"
        "from ipykernel.ipkernel import IPythonKernel\nfrom traitlets import Type\n\n\n"
        "class Kernel(IPythonKernel):\n    shell_class = Type(Shell)\n"
    ),
}
CANVAS = ["from lab_utils import HandwritingCanvas\n\ncanvas = HandwritingCanvas()\ncanvas"]
CANVAS += ["print(len(canvas.strokes), canvas.result['text'])"]


def run(*command: str | Path, **options) -> str:
    """Return what a command prints, or end with it where the command fails."""
    done = subprocess.run(command, capture_output=True, text=True, **options)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def prepare() -> None:
    """Make the virtual environment, unless there is one with these versions."""
    wanted, stamp = VERSIONS.read_text(encoding="utf-8"), FOLDER / "versions.txt"
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != wanted:
        shutil.rmtree(FOLDER, ignore_errors=True)
        run(sys.executable, "-m", "venv", FOLDER / "venv")
        pip = [BIN / "python", "-m", "pip", "install", "--quiet"]
        run(*pip, "-r", VERSIONS)
        torch = [*pip, "--no-deps", "-c", ROOT / "constraints.txt", "torch"]
        index = os.environ.get("TORCH_INDEX", "")
        if not index or subprocess.run([*torch, "--index-url", index]).returncode:
            run(*torch)
        # IPython asks for it, and Colab leaves it out.
        run(BIN / "python", "-m", "pip", "uninstall", "--quiet", "--yes", "jedi")
        base = json.dumps(list_packages(), indent=1)
        (FOLDER / "packages.json").write_text(base, encoding="utf-8")
        stamp.write_text(wanted, encoding="utf-8")
    (packages,) = (FOLDER / "venv" / "lib").glob("python*/site-packages")
    stand_in = packages / "google" / "colab"
    stand_in.mkdir(parents=True, exist_ok=True)
    for name, text in STAND_IN.items():
        (stand_in / name).write_text(text, encoding="utf-8")
    kernel = "google.colab._kernel.Kernel"
    write_kernel("colab", BIN / "python", f"--IPKernelApp.kernel_class={kernel}")


def write_kernel(name: str, python: Path | str, *options: str) -> None:
    """Let Jupyter know a kernel, whose commands find this Python first."""
    folder = FOLDER / "jupyter" / "kernels" / name
    folder.mkdir(parents=True, exist_ok=True)
    command = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}", *options]
    path = os.pathsep.join([str(Path(python).parent), os.environ["PATH"]])
    spec = {"argv": command, "display_name": name, "language": "python", "env": {"PATH": path}}
    (folder / "kernel.json").write_text(json.dumps(spec), encoding="utf-8")


def list_packages() -> dict[str, str]:
    """Return the versions of what is installed."""
    lines = run(BIN / "python", "-m", "pip", "list", "--format=freeze").splitlines()
    return dict(line.split("==") for line in lines)


def build_wheel(folder: Path) -> Path:
    """Build the wheel of this checkout in a folder."""
    run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, ROOT)
    (wheel,) = folder.glob("*.whl")
    return wheel


@contextlib.contextmanager
def serve_checkout(folder: Path):
    """Serve what the lab takes from GitHub; yield the address of the repository."""
    place = folder / PROJECT.strip("/")
    archive = place / "archive" / "refs" / "heads" / f"{BRANCH}.zip"
    archive.parent.mkdir(parents=True)
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for name in run("git", "-C", ROOT, "ls-files", "-z").split("\0"):
            if name:
                packed.write(ROOT / name, f"handwriting-{BRANCH}/{name}")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    handler = functools.partial(Quiet, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}{PROJECT}"
        server.shutdown()


def execute(notebook: nbformat.NotebookNode, folder: Path) -> nbformat.NotebookNode:
    """Run a notebook in a folder as on Colab."""
    resources = {"metadata": {"path": folder}}
    client = NotebookClient(notebook, timeout=900, kernel_name="colab", resources=resources)
    client.execute()
    return notebook


def check_install(way: str, source: str, folder: Path, base: dict[str, str]) -> bool:
    """Install the lab in one way; tell whether it went well and nothing else has changed."""
    if added := sorted({*list_packages()} - {*base}):
        run(BIN / "python", "-m", "pip", "uninstall", "-q", "-y", *added)
    if list_packages() != base:
        sys.exit(f"{FOLDER} is not as it was made: delete it, and run this again.")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    started = time.monotonic()
    (cell,) = execute(notebook, folder).cells
    seconds = time.monotonic() - started
    printed = "".join(output.get("text", "") for output in cell.outputs).strip()
    after = list_packages()
    changed = sorted(name for name in base if after.get(name) != base[name])
    is_fine = not changed and "handwriting-lab" in after and seconds <= MAX_INSTALL
    is_fine &= "ERROR" not in printed
    told = f"changed: {', '.join(changed)}" if changed else f"{len(base)} packages unchanged"
    new = len({*after} - {*base})
    return report(f"install {way}", seconds, is_fine, f"{told}, {new} new" if is_fine else printed)


def check_notebook(path: Path, wheel: Path, folder: Path) -> bool:
    """Run a notebook to its end, with the wheel beside it; tell whether it went well."""
    shutil.copy(wheel, folder)
    notebook = nbformat.read(path, as_version=4)
    started, told = time.monotonic(), ""
    try:
        execute(notebook, folder)
    except CellExecutionError as error:
        told = f"{error.ename}: {error.evalue}"
    name = path.relative_to(ROOT / "labs") if path.is_relative_to(ROOT / "labs") else path
    return report(str(name), time.monotonic() - started, not told, told or "ran to its end")


@contextlib.contextmanager
def serve_notebook(python: Path, kernel: str, folder: Path):
    """Start Jupyter Notebook on a folder with two cells; yield their address."""
    cells = [nbformat.v4.new_code_cell(source) for source in CANVAS]
    spec = {"name": kernel, "display_name": kernel, "language": "python"}
    notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": spec})
    (folder / "work").mkdir()
    nbformat.write(notebook, folder / "work" / "canvas.ipynb")
    port = find_free_port()
    own = {"PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": ""}
    own |= {f"JUPYTER_{kind}_DIR": str(folder / kind) for kind in ("CONFIG", "RUNTIME", "DATA")}
    command = [python, "-m", "notebook", "--no-browser", "--allow-root", f"--port={port}"]
    command += [f"--notebook-dir={folder / 'work'}", "--ServerApp.token=lab"]
    command += ["--NotebookApp.token=lab"]  # what 6.5 calls it
    with serve(command, port, folder / "log", **own):
        yield f"http://127.0.0.1:{port}/notebooks/canvas.ipynb?token=lab"


def check_canvas(name: str, python: Path, kernel: str, cell: str, editor: str, output: str) -> bool:
    """Draw a letter in a browser; tell whether it was read there, and in Python.

    Parameters
    ----------
    name : str
        Which Jupyter Notebook.
    python : Path
        The interpreter that has it.
    kernel : str
        What runs the cells.
    cell, editor, output : str
        CSS selectors of a cell with code, and in it, of its editor and of what it prints.
    """
    started, letter = time.monotonic(), "R"
    with (
        tempfile.TemporaryDirectory() as folder,
        serve_notebook(python, kernel, Path(folder)) as address,
        chromium() as browser,
    ):
        page = browser.new_page(viewport={"width": 1100, "height": 1000})
        page.goto(address)
        canvas, strokes, told = Canvas(page), sample_strokes(letter), ""
        try:
            page.locator(cell).first.locator(editor).click(timeout=60_000)
            # Notebook 6.5 asks the kernel for its widgets first: what comes meanwhile is lost.
            page.wait_for_timeout(6_000)
            page.keyboard.press("Shift+Enter")
            if kernel == "colab":  # which asks about Drive
                page.locator("input.raw_input").fill("n", timeout=60_000)
                page.keyboard.press("Enter")
            page.wait_for_selector(".hw-root[data-theme][data-number]", timeout=60_000)
            canvas.draw(strokes)
            read = canvas.read()
            second = page.locator(cell).nth(1)  # the first prints what it asks about Drive
            second.locator(editor).click()
            page.keyboard.press("Shift+Enter")
            in_python = second.locator(output).inner_text(timeout=60_000).strip()
            if (read, in_python) != (letter, f"{len(strokes)} {letter}"):
                told = f"{letter} was read as {read}, and Python has {in_python}"
        except Error as error:  # of Playwright
            told = str(error).splitlines()[0]
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=SCREENSHOTS / f"{name.replace(' ', '_')}.png")
    seconds = time.monotonic() - started
    return report(f"canvas, {name}", seconds, not told, told or f"{letter} was drawn and read")


def prepare_notebook_7() -> Path:
    """Make an environment with Jupyter Notebook 7 and today's widgets; return its Python."""
    python, made = FOLDER / "notebook7" / "bin" / "python", FOLDER / "notebook7" / "made"
    if not made.exists():
        run(sys.executable, "-m", "venv", "--clear", python.parents[1])
        pinned = ["-c", ROOT / "constraints.txt"]
        packages = ["notebook>=7", "anywidget", "ipywidgets"]
        run(python, "-m", "pip", "install", "--quiet", *pinned, *packages)
        made.touch()
    write_kernel("checkout", sys.executable)
    return python


def report(what: str, seconds: float, is_fine: bool, told: str) -> bool:
    """Print a line of the table."""
    mark = "" if is_fine else "FAILED: "
    print(f"| {what} | {seconds:.0f} | {mark}{told.strip()} |", flush=True)
    return is_fine


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("notebooks", nargs="*", type=Path, help="none: only install and draw")
    options = parser.parse_args()
    if find_chromium() is None:
        sys.exit("No Chromium or Chrome is found: install one, or set CHROMIUM to its path.")
    prepare()
    notebook_7 = prepare_notebook_7()
    for name in ("EMNIST_ARCHIVE", "LAB_DATA_DIR", "MNIST_DIR", "NLTK_DATA", "PYTHONPATH"):
        os.environ.pop(name, None)
    quick = {"LAB_FAST": "1", "LAB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    places = {"JUPYTER_PATH": FOLDER / "jupyter", "XDG_CACHE_HOME": FOLDER / "cache"}
    os.environ.update(quick | {name: str(path) for name, path in places.items()})
    print("| what | seconds | result |\n|---|---|---|", flush=True)
    fine = []
    with contextlib.ExitStack() as stack:

        def new_folder() -> Path:
            return Path(stack.enter_context(tempfile.TemporaryDirectory()))

        base = json.loads((FOLDER / "packages.json").read_text(encoding="utf-8"))
        address = stack.enter_context(serve_checkout(new_folder()))
        fine.append(check_install("from an address", make_setup(address), new_folder(), base))
        wheel = build_wheel(new_folder())
        os.environ["CHOSEN"] = str(wheel)
        fine.append(check_install("from an upload", make_setup(""), new_folder(), base))
        beside = new_folder()
        shutil.copy(wheel, beside)
        del os.environ["CHOSEN"]
        fine.append(check_install("from a wheel beside", make_setup(""), beside, base))
        fine += [check_notebook(path.resolve(), wheel, new_folder()) for path in options.notebooks]
    classic = [".code_cell", ".CodeMirror", ".output_stdout pre"]
    modern = [".jp-CodeCell", ".cm-content"]
    modern += [".jp-OutputArea-output[data-mime-type*=stdout] pre"]
    fine.append(check_canvas("Notebook 6.5", BIN / "python", "colab", *classic))
    fine.append(check_canvas("Notebook 7", notebook_7, "checkout", *modern))
    sys.exit(not all(fine))


if __name__ == "__main__":
    main()
