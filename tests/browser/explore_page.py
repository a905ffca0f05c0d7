"""A page that shows an explorable as anywidget does, without a kernel."""

import base64

PAGE = """<!doctype html><html lang="en"><title>{name}</title>
<style>body {{ background: {paper}; margin: 8px }} {css}</style><main id="widget"></main>"""
SHOW = """async ([esm, state]) => {
  const address = URL.createObjectURL(new Blob([esm], { type: "text/javascript" }));
  const shown = Object.entries(state.shown).map(([name, value]) => // bytes come as a DataView
    [name, value?.base64 === undefined ? value
      : new DataView(Uint8Array.from(atob(value.base64), (c) => c.charCodeAt(0)).buffer)]);
  state.shown = Object.fromEntries(shown);
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
    shown = {
        name: {"base64": base64.b64encode(value).decode()} if isinstance(value, bytes) else value
        for name, value in explorable.shown.items()
    }
    page.evaluate(SHOW, [explorable._esm, {"labels": explorable.labels, "shown": shown}])
