"""Settings of Sphinx; `tools/course/build_site.py` collects the pages and sets the language."""

import posixpath
import re
import sys
import textwrap
from pathlib import Path

from docutils.nodes import SkipNode, paragraph
from docutils.utils.math.latex2mathml import tex2mathml

sys.path.insert(0, str(Path(__file__).parents[1] / "tools" / "course"))
import build_site

MIN_DESCRIPTION, MAX_DESCRIPTION = 40, 160  # letters
LINKS = re.compile(" · |<!--")  # what stands above the first paragraph of a page

project = "Handwriting lab"
html_title = project
author = "The handwriting lab's authors"
copyright = "MIT licence"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
templates_path = ["templates"]
package = build_site.ROOT / "text_recognizer"
names = ("canvas/static/controls.css", "canvas/static/maps.css", "explore/static/explore.css")
styles = [package / name for name in names]
html_static_path = ["static", *map(str, styles)]
html_css_files = ["site.css", *(path.name for path in styles)]
html_js_files = ["site.js"]
html_favicon = "static/icon.svg"
html_context = {"default_mode": "auto"}
html_theme = "sphinx_book_theme"
html_copy_source = False
html_show_sphinx = False
html_math_renderer = "mathml"
address = build_site.links.read_address(build_site.ROOT)
top = build_site.find_top(address)
html_theme_options = {
    "article_header_end": ["language.html", "article-header-buttons.html"],
    "repository_url": address,
    "use_repository_button": bool(address),
    "use_download_button": False,
    "show_toc_level": 2,
}

nb_execution_mode = "off"
nb_render_markdown_format = "myst"  # whose links between pages Sphinx follows
nb_ipywidgets_js = {}  # what widgets show without a kernel is a picture, not a script from afar
nb_mime_priority_overrides = [
    ("html", "application/vnd.jupyter.widget-view+json", None),
]
myst_enable_extensions = ["attrs_block", "dollarmath", "html_image"]
myst_heading_anchors = 4
# `site:` leads to a page of the other language, which Sphinx does not see.
myst_url_schemes = {"http": None, "https": None, "mailto": None, "site": "{{path}}#{{fragment}}"}
suppress_warnings = ["mystnb.unknown_mime_type"]

default_role = "code"
autodoc_inherit_docstrings = False  # Lightning says of its hooks what it says anyway
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # docstrings give them, with shapes
napoleon_google_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False


def visit_math(translator, node):
    """Write a formula as MathML, which browsers show without a script."""
    as_block = node.tagname == "math_block"
    translator.body.append(tex2mathml(node.astext(), as_block=as_block))
    raise SkipNode


def link_language(app, pagename, _template, context, _doctree):
    """Tell the template where the same page is in the other language, or its first page."""
    korean = app.config.language == "ko"
    pages = map(build_site.to_html, build_site.find_pages("en" if korean else "ko").values())
    name = f"{pagename}.html"
    is_in_both = name in set(pages)
    up = posixpath.relpath(".", posixpath.dirname(name) or ".")
    context["other_language"] = {
        "address": f"{up}/{'..' if korean else 'ko'}/{name if is_in_both else 'index.html'}",
        "code": "en" if korean else "ko",
        "name": "English" if korean else "한국어",
    }
    start = top if address else f"{up}/../" if korean else f"{up}/"
    context["alternates"] = {"en": start + name, "ko": f"{start}ko/{name}"} if is_in_both else {}


def describe_page(_app, _pagename, _template, context, doctree):
    """Give a page its first paragraph as the description that search engines show."""
    if doctree is not None:
        texts = (" ".join(each.astext().split()) for each in doctree.findall(paragraph))
        texts = (text for text in texts if len(text) >= MIN_DESCRIPTION and not LINKS.search(text))
        found = next(texts, html_title)
        context["description"] = textwrap.shorten(found, MAX_DESCRIPTION, placeholder=" ...")


def setup(app):
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_math, None))
    app.connect("html-page-context", link_language)
    app.connect("html-page-context", describe_page)
