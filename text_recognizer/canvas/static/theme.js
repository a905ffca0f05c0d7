// Keeps `data-theme` of an element as light or dark as the page round it.

const ATTRIBUTES = ["class", "style", "data-theme", "theme", "data-jp-theme-light"];

/** Tell whether the page is dark: its background decides, as each notebook names themes its own way. */
function isDark(element) {
  for (let parent = element.parentElement; parent; parent = parent.parentElement) {
    const [red, green, blue, alpha = 1] =
      getComputedStyle(parent).backgroundColor.match(/[\d.]+/g)?.map(Number) ?? [];
    if (red !== undefined && alpha > 0.5) return 0.299 * red + 0.587 * green + 0.114 * blue < 128;
  }
  return matchMedia("(prefers-color-scheme: dark)").matches;
}

/** Follow the theme, light where the page is printed; return how to stop. */
function followTheme(element, onChange) {
  const queries = ["print", "(prefers-color-scheme: dark)"].map((query) => matchMedia(query));
  const check = () => {
    const theme = !queries[0].matches && isDark(element) ? "dark" : "light";
    if (element.dataset.theme === theme) return;
    element.dataset.theme = theme;
    onChange();
  };
  const size = new ResizeObserver(check); // which also notices when it comes onto the page
  size.observe(element);
  const observer = new MutationObserver(check);
  for (const page of [document.documentElement, document.body]) {
    observer.observe(page, { attributes: true, attributeFilter: ATTRIBUTES });
  }
  for (const query of queries) query.addEventListener("change", check);
  return () => {
    size.disconnect();
    observer.disconnect();
    for (const query of queries) query.removeEventListener("change", check);
  };
}

export { followTheme };
