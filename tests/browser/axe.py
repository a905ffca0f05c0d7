"""axe-core, which looks for barriers in a page: fetched once, from npm, into `build`."""

import functools
import hashlib
import subprocess
import tarfile
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "build" / "axe"
VERSION = "4.14.1"
SHA256 = "e6b0ce02b84d892e2e33e403485e7f3d6c29e2be6df65daf44d89ba564139745"
RUN = """async (chosen) => {
  const rules = { "label-content-name-mismatch": { enabled: true } }; // experimental, and right
  const { violations, passes } = await axe.run(chosen, { rules });
  return [passes.length, violations.flatMap(({ id, nodes }) =>
    nodes.map(({ target, failureSummary }) => `${id}: ${target} ${failureSummary}`))];
}"""
MODES = [
    {"color_scheme": "light", "forced_colors": "none"},
    {"color_scheme": "dark", "forced_colors": "none"},
    {"color_scheme": "dark", "forced_colors": "active"},
]


@functools.cache
def load_axe() -> str:
    """Return the script, as npm has it."""
    archive = FOLDER / f"axe-core-{VERSION}.tgz"
    if not archive.exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        npm = ["npm", "pack", "--silent", f"axe-core@{VERSION}"]
        subprocess.run(npm, cwd=FOLDER, check=True, capture_output=True)
    assert hashlib.sha256(archive.read_bytes()).hexdigest() == SHA256
    with tarfile.open(archive) as packed:
        return packed.extractfile("package/axe.min.js").read().decode()


def find_violations(page, *selectors: str) -> list[str]:
    """Return what axe-core finds on a page, or within what is selected, in its colours as they are.

    Parameters
    ----------
    page : playwright.sync_api.Page
    *selectors : str
        The parts of the page that are looked at.
    """
    page.evaluate("() => document.fonts.ready")
    page.wait_for_timeout(400)  # colours change slowly
    if not page.evaluate("() => 'axe' in window"):
        page.evaluate(load_axe())
    chosen = {"include": [[selector] for selector in selectors or ("html",)]}
    count, found = page.evaluate(RUN, chosen)
    assert count > 5  # there was something to look at
    return found
