"""How long it takes from lifting the pen until the canvas shows what was read.

    python benchmarks/canvas_latency.py

Alone and beside a process that trains (`in_company.py`), in a real JupyterLab in headless Chromium:
strokes by the browser's own mouse events, in character mode and in line mode. The clock runs from
the time stamp of `pointerup` to the frame after the one in which the canvas put the answer on the
page. Counts messages and requests, too.
"""

import contextlib
import sys
from pathlib import Path

import numpy as np
from in_company import train_beside

from lab_utils import sample_strokes

HERE = Path(__file__).resolve().parents[1] / "tests" / "browser"
sys.path.insert(0, str(HERE))

from lab import START, Lab, chromium, jupyterlab  # noqa: E402

STROKES = 100
CHARACTERS = "AEHKFRtk4xB5Gqyd"
LINE = "Handwriting 42"
CLOCK = """() => {
  const root = document.querySelector(".hw-root");
  let lifted = 0;
  window.latencies = [];
  root.addEventListener("pointerup", event => { lifted = event.timeStamp; }, true);
  new MutationObserver(() => requestAnimationFrame(() => {
    const channel = new MessageChannel(); // answers after the frame has been drawn
    channel.port1.onmessage = () => {
      if (lifted) window.latencies.push(performance.now() - lifted);
      lifted = 0;
    };
    channel.port2.postMessage(0);
  })).observe(root, { attributes: true, attributeFilter: ["data-number"] });
}"""
READ = "count => window.latencies.length >= count"


def measure(lab: Lab, code: str, drawings: list) -> tuple[list[float], float]:
    """Draw `STROKES` strokes; return their milliseconds, and messages to the kernel per stroke."""
    lab.show(code)
    lab.page.evaluate(CLOCK)
    lab.draw(drawings[0][:1])  # the first stroke of a page warms it up, and does not count
    lab.page.wait_for_timeout(2000)
    lab.python("canvas.clear()")
    lab.page.evaluate("window.latencies.length = 0")
    count = messages = 0
    while True:
        for drawing in drawings:
            for stroke in drawing:
                lab.sent.clear()
                lab.draw([stroke])
                count += 1
                lab.page.wait_for_function(READ, arg=count)
                messages += len(lab.sent)
                if count == STROKES:
                    return lab.page.evaluate("window.latencies"), messages / count
            lab.python("canvas.clear()")
            lab.page.wait_for_selector(".hw-root[data-strokes='0']:not(.hw-pending)")


def main() -> None:
    kinds = {
        "character mode, the shipped network": (
            "canvas = HandwritingCanvas()\ncanvas",
            [sample_strokes(character) for character in CHARACTERS],
        ),
        "line mode, the shipped network": (
            "canvas = HandwritingCanvas(mode='line')\ncanvas",
            [[s for s in sample_strokes(LINE) if max(p[0] for p in s) < 870]],
        ),
    }
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(jupyterlab())
        page = stack.enter_context(chromium()).new_page(viewport={"width": 1200, "height": 800})
        lab = Lab(page, url)
        lab.run(START)
        for kind, (code, drawings) in kinds.items():
            for beside in (False, True):
                with train_beside() if beside else contextlib.nullcontext():
                    times, messages = measure(lab, code, drawings)
                median, p95, most = np.percentile(times, [50, 95, 100])
                print(
                    f"{kind}, {'beside training' if beside else 'alone'}: {len(times)} strokes, "
                    f"median {median:.0f} ms, 95% within {p95:.0f} ms, all within {most:.0f} ms; "
                    f"{messages:.2f} messages per stroke"
                )
        print(f"requests to other machines: {len(lab.strangers)}")


if __name__ == "__main__":
    main()
