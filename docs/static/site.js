// What a page of the site does: its reader follows its theme, and its explorables run.

const HERE = document.currentScript.src;

/** Make the reader on the first page as light or dark as the page round it. */
function followTheme() {
  const { theme } = document.documentElement.dataset;
  for (const frame of document.querySelectorAll("iframe.reader")) {
    const root = frame.contentDocument?.documentElement; // none where the site is a file
    if (root) root.style.colorScheme = theme;
  }
}

new MutationObserver(followTheme).observe(document.documentElement, {
  attributes: true,
  attributeFilter: ["data-theme"],
});
addEventListener("load", followTheme);

/** Run the explorables of a notebook, which need no kernel, in the place of their pictures. */
async function runExplorables() {
  for (const state of document.querySelectorAll("script.explorable")) {
    const { script, ...values } = JSON.parse(state.textContent);
    const { default: widget } = await import(new URL(`${script}.js`, HERE));
    const el = document.createElement("div");
    state.closest(".cell_output").querySelector("img").hidden = true;
    state.parentElement.replaceWith(el);
    widget.render({ model: { get: (name) => values[name], on() {}, off() {} }, el });
  }
}

addEventListener("load", runExplorables);
