// The reader on the first page is as light or dark as the page round it.

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
