"""A page that shows an explorable as anywidget does, without a kernel."""

import base64
import json

PAGE = """<!doctype html><html lang="en"><title>{name}</title>
<style>body {{ background: {paper}; margin: 8px }} {css}</style><main id="widget"></main>"""
SHOW = """async ([esm, state]) => {
  const address = URL.createObjectURL(new Blob([esm], { type: "text/javascript" }));
  state = JSON.parse(state, (_, value) => value?.base64 === undefined ? value // bytes: a DataView
    : new DataView(Uint8Array.from(atob(value.base64), (c) => c.charCodeAt(0)).buffer));
  const model = { get: (name) => state[name], on: () => {},
                  off: () => {}, set: (name, value) => { state[name] = value; },
                  save_changes: () => {}, send: () => {} };
  const { default: widget } = await import(address);
  window.stop = await widget.render({ model, el: document.getElementById("widget") });
}"""


def show_explorable(page, explorable, dark: bool = False) -> None:
    """Show an explorable on a page of a browser."""
    names = {"name": repr(explorable), "css": explorable._css}
    page.set_content(PAGE.format(paper="#111" if dark else "#fff", **names))
    state = {"labels": explorable.labels, "shown": explorable.shown}
    written = json.dumps(state, default=lambda value: {"base64": base64.b64encode(value).decode()})
    page.evaluate(SHOW, [explorable._esm, written])
