"""The canvas as a student meets it: a real JupyterLab, a real browser, real strokes."""

import re

import pytest
from lab import SCREENSHOTS

from lab_utils import sample_strokes

CANVAS = "canvas = HandwritingCanvas()\ncanvas"
LINE = (
    "from gap_reader import GapReader\ncanvas = HandwritingCanvas(GapReader(), mode='line')\ncanvas"
)
DARK_PIXELS = """index => {
  const ink = document.querySelectorAll(".hw-ink")[index];
  const { data } = ink.getContext("2d").getImageData(0, 0, ink.width, ink.height);
  let count = 0;
  for (let i = 3; i < data.length; i += 4) count += data[i] > 127;
  return count;
}"""
CONTRASTS = """() => {
  const rgb = text => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const found = {};
  for (const element of document.querySelectorAll(".hw-root *")) {
    const text = [...element.childNodes].filter(n => n.nodeType === 3).map(n => n.data).join("");
    if (!text.trim() || !element.checkVisibility() || element.matches(":disabled")) continue;
    if (element.matches(".hw-spoken, .hw-hint, option")) continue;
    let paper = element;
    while (rgb(getComputedStyle(paper).backgroundColor)[3] === 0) paper = paper.parentElement;
    const [a, b] = [getComputedStyle(element).color, getComputedStyle(paper).backgroundColor]
      .map(rgb).map(light).sort((x, y) => y - x);
    found[`${element.className || element.tagName}: ${text}`] = (a + 0.05) / (b + 0.05);
  }
  return found;
}"""


def pointer(lab, kind, name, x=0, y=0, **more):
    """Let a pen or finger do something on the canvas."""
    (place,) = lab.places([(x, y)])
    event = {"clientX": place[0], "clientY": place[1], "pointerType": kind, "bubbles": True}
    event |= {"pointerId": {"pen": 7, "touch": 8}[kind], "isPrimary": True, "cancelable": True}
    lab.page.locator(".hw-ink").first.dispatch_event(f"pointer{name}", event | more)


def pen_stroke(lab, points, kind="pen", **more):
    pointer(lab, kind, "down", *points[0], **more)
    for point in points[1:]:
        pointer(lab, kind, "move", *point, **more)
    pointer(lab, kind, "up", *points[-1], **more)


def finger(lab, name, *points):
    """Send touches through the browser's own input, with everything that follows from them."""
    touches = [{"x": x, "y": y} for x, y in lab.places(points)]
    lab.devtools.send("Input.dispatchTouchEvent", {"type": f"touch{name}", "touchPoints": touches})


@pytest.fixture
def devtools(lab, context):
    lab.devtools = context.new_cdp_session(lab.page)


def strokes(lab):
    return lab.python("len(canvas.strokes)")


# Drawing.


@pytest.mark.parametrize("character", ["R", "8", "g"])
def test_a_character_drawn_by_mouse_is_read(lab, character):
    lab.show(CANVAS)
    drawing = sample_strokes(character)
    lab.draw(drawing)
    assert lab.read() == character
    assert len(lab.sent) == len(drawing)  # one message a stroke
    assert lab.python("[canvas.result['text'], canvas.number]") == [character, len(drawing)]
    assert lab.python("canvas.strokes[0].pointer") == "mouse"
    drawn = lab.python("[list(p) for p in canvas.strokes[0]]")
    first, last = drawing[0][0], drawing[0][-1]
    assert drawn[0][:2] == pytest.approx(first[:2], abs=1)
    assert drawn[-1][:2] == pytest.approx(last[:2], abs=2)
    times = [point[2] for point in drawn]
    assert times == sorted(times)


def test_a_finger_draws_and_the_page_does_not_scroll(lab, devtools):
    lab.show(CANVAS)
    finger(lab, "Start", (110, 40))
    for y in range(45, 190, 8):
        finger(lab, "Move", (110, y))
    finger(lab, "End")
    assert lab.read() in "1Il"
    assert lab.python("canvas.strokes[0].pointer") == "touch"
    scrolled = "[...document.querySelectorAll('*')].some(e => e.scrollTop > 0)"
    assert lab.page.evaluate(scrolled) is False


def test_a_second_finger_does_not_disturb_the_first(lab, devtools):
    lab.show(CANVAS)
    finger(lab, "Start", (50, 50))
    for x in range(56, 80, 6):
        finger(lab, "Move", (x, 50))
    finger(lab, "Start", (74, 50), (180, 180))
    for x in range(80, 120, 6):
        finger(lab, "Move", (x, 50), (180, 180))
    finger(lab, "End")
    lab.read()
    assert strokes(lab) == 1
    assert lab.python("max(p[1] for p in canvas.strokes[0])") < 60


def test_a_pen_has_pressure_and_palms_are_ignored_until_told_otherwise(lab):
    lab.show(CANVAS)
    leave = lab.page.locator(".hw-leave")
    assert not leave.is_visible()
    pointer(lab, "touch", "down", 200, 200)  # the palm lands first
    pointer(lab, "touch", "move", 190, 190)
    pen_stroke(lab, [(40, 40), (60, 60), (90, 95)], pressure=0.8)
    pointer(lab, "touch", "up", 190, 190)
    pen_stroke(lab, [(150, 150), (180, 180)], kind="touch")  # and again
    lab.read()
    assert strokes(lab) == 1
    assert lab.python("[canvas.strokes[0].pointer, canvas.strokes[0][0][3]]") == ["pen", 0.8]
    leave.click()
    assert not leave.is_visible()
    pen_stroke(lab, [(150, 150), (180, 180)], kind="touch")
    lab.read()
    assert strokes(lab) == 2


def test_a_cancelled_stroke_leaves_nothing(lab):
    lab.show(CANVAS)
    before = lab.page.evaluate(DARK_PIXELS, 0)
    pointer(lab, "pen", "down", 40, 40, pressure=0.5)
    pointer(lab, "pen", "move", 140, 140, pressure=0.5)
    assert lab.page.evaluate(DARK_PIXELS, 0) > before
    pointer(lab, "pen", "cancel", 140, 140)
    assert lab.page.evaluate(DARK_PIXELS, 0) == before
    assert (strokes(lab), lab.sent) == (0, [])


def test_live_reading_answers_before_the_pen_is_lifted_and_asks_one_thing_at_a_time(lab, tmp_path):
    answer = tmp_path / "answer"
    lab.show(
        "import os, time\nreader = Recognizer.pretrained()\n"
        "def wait(image):\n    for _ in range(1000):\n"
        f"        if os.path.exists({str(answer)!r}):\n"
        "            return reader.predict(image)\n        time.sleep(0.02)\n\n"
        "canvas = HandwritingCanvas(wait, live=True)\ncanvas"
    )
    (stroke,) = sample_strokes("C")
    places = lab.places(stroke)
    lab.page.mouse.move(*places[0])
    lab.page.mouse.down()
    for place in places[1:-1]:
        lab.page.mouse.move(*place)
    assert 1 <= len(lab.sent) <= len(stroke) / 10
    answer.touch()
    lab.page.wait_for_selector(".hw-bars .hw-character:text-matches('.')")
    assert strokes(lab) == 0
    lab.page.mouse.move(*places[-1])
    lab.page.mouse.up()
    assert lab.read() in "Cc"
    assert strokes(lab) == 1


# Undo, redo, clear; reload, two views, sizes and themes.


def test_undo_redo_and_clear_by_buttons_and_keys_and_clear_by_python(lab):
    lab.show(CANVAS)
    lab.draw(sample_strokes("A"))
    lab.read()
    full = lab.page.evaluate(DARK_PIXELS, 0)
    count = strokes(lab)
    press = lab.page.keyboard.press
    for undo, redo in (
        (lambda: lab.page.click(".hw-undo"), lambda: lab.page.click(".hw-redo")),
        (
            lambda: lab.page.keyboard.press("Control+z"),
            lambda: lab.page.keyboard.press("Control+y"),
        ),
    ):
        undo()
        lab.page.wait_for_selector(f".hw-root[data-strokes='{count - 1}']")
        lab.read()
        assert strokes(lab) == count - 1
        assert lab.page.evaluate(DARK_PIXELS, 0) < 0.95 * full
        redo()
        lab.page.wait_for_selector(f".hw-root[data-strokes='{count}']")
        assert lab.read() == "A"
        assert lab.page.evaluate(DARK_PIXELS, 0) == pytest.approx(full, rel=0.03)
        lab.page.locator(".hw-ink").focus()
    for clear in (
        lambda: lab.page.click(".hw-clear"),
        lambda: press("Delete"),
        lambda: lab.python("canvas.clear()"),
    ):
        clear()
        lab.page.wait_for_selector(".hw-root[data-strokes='0']")
        assert lab.page.evaluate(DARK_PIXELS, 0) == 0
        lab.page.click(".hw-undo")
        lab.page.wait_for_selector(f".hw-root[data-strokes='{count}']")
        assert lab.read() == "A"  # so that Python has the ink, too, before it clears it
        lab.page.locator(".hw-ink").focus()


def test_a_second_view_and_a_reloaded_page_have_the_same_ink(lab):
    lab.show("canvas = HandwritingCanvas()\ndisplay(canvas, canvas)")
    lab.page.wait_for_selector(".hw-root[data-theme] >> nth=1")
    lab.draw(sample_strokes("B"))
    lab.read()
    one, two = (lab.page.evaluate(DARK_PIXELS, view) for view in (0, 1))
    assert one == pytest.approx(two, rel=0.03)
    answers = lab.page.locator(".hw-bars li:first-child .hw-character")
    assert answers.all_inner_texts() == ["B", "B"]
    lab.page.evaluate("jupyterapp.commands.execute('docmanager:save')")
    lab.open()
    lab.page.wait_for_selector(".hw-root[data-number] >> nth=1")
    assert lab.page.evaluate(DARK_PIXELS, 0) == pytest.approx(one, rel=0.03)
    assert answers.all_inner_texts() == ["B", "B"]
    lab.draw([[(20, 200), (60, 200)]])
    lab.read()
    assert strokes(lab) == len(sample_strokes("B")) + 1


def theme(lab, name):
    change = "name => jupyterapp.commands.execute('apputils:change-theme', { theme: name })"
    lab.page.evaluate(change, f"JupyterLab {name.title()}")
    lab.page.wait_for_selector(f".hw-root[data-theme='{name}']")


@pytest.mark.parametrize("code", [CANVAS, LINE], ids=["character", "line"])
def test_all_text_has_contrast_in_light_and_dark(lab, code, request):
    lab.show(code)
    lab.draw(sample_strokes("8" if code == CANVAS else "no 8o"))
    lab.read()
    lab.page.click(".hw-more summary")
    root = lab.page.locator(".hw-root")
    for name in ("dark", "light"):
        theme(lab, name)
        lab.page.wait_for_timeout(300)  # what fades has faded
        found = lab.page.evaluate(CONTRASTS)
        assert len(found) > 5
        assert {text: value for text, value in found.items() if value < 4.5} == {}
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        root.screenshot(path=SCREENSHOTS / f"{request.node.callspec.id}-{name}.png")


def test_a_canvas_that_comes_onto_a_dark_page_is_dark(lab):
    lab.show(CANVAS)
    theme(lab, "dark")
    lab.show(LINE)
    lab.page.wait_for_selector(".hw-root[data-mode='line'][data-theme='dark']")
    theme(lab, "light")


def test_it_follows_the_width_of_its_cell_and_stays_sharp(lab):
    lab.show(LINE)
    lab.draw(sample_strokes("go"))
    lab.read()
    widths = []
    for width in (1100, 480):
        lab.page.set_viewport_size({"width": width, "height": 800})
        # Sharp: one pixel of the canvas for each of the screen, once it has followed.
        shown = lab.page.wait_for_function(
            """before => {
              const { clientWidth, width } = document.querySelector(".hw-ink");
              const isSharp = width === clientWidth * devicePixelRatio;
              return clientWidth !== before && isSharp && clientWidth;
            }""",
            arg=widths[-1] if widths else None,
        ).json_value()
        assert lab.page.evaluate(DARK_PIXELS, 0) > 200
        root = "document.querySelector('.hw-root')"
        assert lab.page.evaluate(f"{root}.scrollWidth <= {root}.clientWidth")
        widths.append(shown)
    lab.page.set_viewport_size({"width": 1100, "height": 800})
    assert widths[1] < 0.6 * widths[0]


# Lines, corrections, models that fail.


def test_a_line_is_read_as_it_grows_and_alternatives_can_be_chosen(lab):
    lab.show(LINE)
    lab.draw(sample_strokes("no"))
    first = lab.read()
    assert len(first) == 2
    lab.draw(sample_strokes("no 8")[len(sample_strokes("no")) :])
    assert lab.read()[2:].replace("\u00a0", " ") == " 8"
    assert lab.python("canvas.recognizer.guides[-1]") == [96, 150]
    unsure = lab.page.locator(".hw-unsure")
    assert unsure.count() >= 1  # an o or a 0
    place = unsure.first
    assert "unsure" in place.get_attribute("aria-label")
    place.click()
    lab.page.locator(".hw-alternatives [data-character=o]").click()
    lab.page.wait_for_function("() => !document.querySelector('.hw-alternatives')")
    lab.page.wait_for_function(
        "() => document.querySelectorAll('.hw-letter')[1].textContent === 'o'"
    )
    assert lab.python("canvas.result['text']")[1] == "o"


def test_a_corrected_drawing_is_saved(lab, request):
    lab.show("import tempfile\nfolder = tempfile.mkdtemp()\ncanvas = HandwritingCanvas("
             "keep_in=f'{folder}/own.h5', ask='')\ncanvas")  # fmt: skip
    lab.draw(sample_strokes("S"))
    lab.read()
    lab.page.locator(".hw-bars button").nth(1).click()
    lab.page.wait_for_selector(".hw-status:has-text('Saved as')")
    second = lab.python("canvas.text")
    lab.page.wait_for_selector(".hw-root[data-strokes='0']:not(.hw-pending)")
    lab.draw(sample_strokes("k"))
    lab.read()
    lab.page.locator(".hw-other input").fill("K")
    lab.page.keyboard.press("Enter")
    lab.page.wait_for_selector(".hw-status:has-text('2 in own.h5')")
    read = "(lambda d: (d.setup(), [d.mapping[i] for i in d.labels])[1])"
    assert lab.python(f"{read}(MyHandwriting(canvas.keep_in))") == [second, "K"]


def test_what_is_asked_for_is_collected_after_a_pause(lab):
    lab.show("import tempfile\nfolder = tempfile.mkdtemp()\ncanvas = HandwritingCanvas("
             "keep_in=f'{folder}/own.h5', ask='T7', pause=0.6)\ncanvas")  # fmt: skip
    for left, character in (("7", "T"), ("", "7")):
        assert lab.page.inner_text(".hw-prompt strong") == character
        lab.draw(sample_strokes(character))
        lab.page.wait_for_selector(".hw-root[data-strokes='0']:not(.hw-pending)")
        assert lab.python("canvas.ask") == left
    lab.page.wait_for_selector(".hw-status:has-text('2 in own.h5')")
    assert lab.page.inner_text(".hw-prompt") == "All 2 done: run the next cell"
    assert lab.page.locator("figcaption:visible").count() == 0  # nothing is there to be seen


def test_undo_takes_back_what_a_tap_has_saved(lab):
    lab.show("import tempfile\nfolder = tempfile.mkdtemp()\ncanvas = HandwritingCanvas("
             "keep_in=f'{folder}/own.h5', ask='T7')\ncanvas")  # fmt: skip
    for number, character in enumerate("T7", start=1):
        lab.draw(sample_strokes(character))
        lab.read()
        lab.page.click(".hw-next")
        lab.page.wait_for_selector(f".hw-status:has-text('{number} in own.h5')")
    assert lab.page.inner_text(".hw-prompt") == "All 2 done: run the next cell"
    lab.page.click(".hw-undo")
    lab.page.wait_for_selector(".hw-status:has-text('Taken back: 1 in own.h5')")
    assert lab.page.inner_text(".hw-prompt strong") == "7"
    assert lab.page.get_attribute(".hw-root", "data-strokes") == str(len(sample_strokes("7")))
    read = "(lambda d: (d.setup(), [d.mapping[i] for i in d.labels])[1])"
    assert lab.python(f"{read}(MyHandwriting(canvas.keep_in))") == ["T"]


def test_a_model_that_raises_is_shown_and_another_one_reads_on(lab):
    lab.show("canvas = HandwritingCanvas({'broken': lambda image: 1 / 0, "
             "'shipped': Recognizer.pretrained(equal_classes=True)})\ncanvas")  # fmt: skip
    lab.draw(sample_strokes("E"))
    lab.page.wait_for_selector(".hw-error:has-text('ZeroDivisionError: division by zero')")
    lab.page.locator(".hw-model select").select_option("shipped")
    lab.page.wait_for_selector(".hw-bars")
    assert lab.read() == "E"
    assert lab.page.locator(".hw-error").count() == 0


def test_what_was_read_of_older_strokes_is_not_shown(lab):
    lab.show(CANVAS)
    lab.draw(sample_strokes("E"))
    assert lab.read() == "E"
    lab.python("setattr(canvas, 'result', {'number': 1, 'text': 'x', 'answers': [['x', 1.0]]})")
    lab.page.wait_for_timeout(200)
    assert lab.page.locator(".hw-bars .hw-character").first.inner_text() == "E"


# Keys.


def test_everything_can_be_done_by_keys_alone_and_none_leaks_into_jupyter(lab):
    lab.show(CANVAS)
    cells = lab.page.locator(".jp-Notebook .jp-Cell")
    before = cells.count()
    lab.page.locator(".hw-ink").focus()
    for key in "abcdd00mxz":  # each a shortcut of JupyterLab's command mode
        lab.page.keyboard.press(key)
    assert cells.count() == before
    assert lab.page.locator(".jp-Dialog").count() == 0
    reached = []
    lab.page.locator(".hw-more summary").focus()
    lab.page.keyboard.press("Enter")
    for _ in range(3):
        lab.page.keyboard.press("Tab")
        reached.append(lab.page.evaluate("document.activeElement.getAttribute('aria-label')"))
        if reached[-1] == "Sample to insert":
            break
    assert reached[-1] == "Sample to insert"
    lab.page.keyboard.press("Control+a")
    lab.page.keyboard.type("d")
    lab.page.keyboard.press("Enter")
    lab.page.wait_for_selector(".hw-root:not([data-strokes='0']) .hw-bars")
    assert lab.read() == "d"
    assert lab.page.inner_text(".hw-spoken").startswith("Read as d")
    lab.page.locator(".hw-ink").focus()
    seen = set()
    for _ in range(14):
        lab.page.keyboard.press("Tab")
        focus = lab.page.evaluate(
            """() => {
              const e = document.activeElement;
              if (!e.closest(".hw-root")) return null;
              const label = e.getAttribute("aria-label") || e.labels?.[0]?.textContent;
              return [(label || e.textContent).trim(), getComputedStyle(e).outlineStyle];
            }"""
        )
        if focus is None:
            break
        assert focus[0]  # everything has a name
        assert focus[1] != "none"  # and shows that it is in focus
        seen.add(focus[0])
    assert {"Undo", "Clear", "Next character"} <= seen
    lab.page.locator(".hw-ink").focus()
    lab.page.keyboard.press("Enter")
    lab.page.wait_for_selector(".hw-text:has-text('d')")
    assert cells.count() == before


def test_alternatives_of_a_line_can_be_chosen_by_keys(lab):
    lab.show(LINE)
    lab.draw(sample_strokes("bo"))
    lab.read()
    lab.page.locator(".hw-letter").first.focus()
    for key in ("ArrowRight", "ArrowDown"):
        lab.page.keyboard.press(key)
    options = lab.page.locator(".hw-alternatives button")
    chosen = options.nth(1).get_attribute("data-character")
    for key in ("ArrowRight", "Enter"):
        lab.page.keyboard.press(key)
    lab.page.wait_for_function(
        "wanted => document.querySelectorAll('.hw-letter')[1].textContent === wanted", arg=chosen
    )
    assert lab.python("canvas.result['text']")[1] == chosen


# A thousand strokes.


def test_a_thousand_strokes_cost_no_more_than_the_first(lab):
    """Counted, not timed: what is drawn again, what is sent, and that all of it arrives."""
    lab.show("canvas = HandwritingCanvas(lambda image: [('x', 1.0)], "
             "prepare=lambda strokes: prepare(strokes[-1:]))\ncanvas")  # fmt: skip
    lab.page.evaluate(
        """() => {
          window.segments = 0;
          const stroke = CanvasRenderingContext2D.prototype.stroke;
          CanvasRenderingContext2D.prototype.stroke = function () {
            window.segments += 1;
            stroke.call(this);
          };
        }"""
    )
    counts = lab.page.evaluate(
        """async () => {
          const ink = document.querySelector(".hw-ink");
          const root = document.querySelector(".hw-root");
          const box = ink.getBoundingClientRect();
          const event = (name, x, y) => ink.dispatchEvent(new PointerEvent(`pointer${name}`, {
            pointerId: 99, pointerType: "mouse", button: 0, cancelable: true, bubbles: true,
            clientX: box.left + x, clientY: box.top + y,
          }));
          const counts = [];
          for (let i = 0; i < 1000; i += 1) {
            window.segments = 0;
            const [x, y] = [10 + (i % 40) * 7, 10 + Math.floor(i / 40) * 10];
            event("down", x, y);
            event("move", x + 3, y + 5);
            event("up", x + 6, y + 2);
            counts.push(window.segments);
            if (i % 50 === 49) await new Promise(resolve => setTimeout(resolve, 50));
          }
          return counts;
        }"""
    )
    assert set(counts[-100:]) == set(counts[:100])
    lab.page.wait_for_selector(".hw-root[data-number='1000']", timeout=60_000)
    assert strokes(lab) == 1000
    assert len(lab.sent) <= 1000
    assert max(map(len, lab.sent)) < 60_000
    lab.python("canvas.clear()")


# Its language.


def visible_labels(lab):
    """Return what stands on the canvas, a piece for each element, with names for screen readers."""
    script = """() => [...document.querySelectorAll(".hw-root, .hw-root *")].flatMap(e => [
      ...[...e.childNodes].filter(n => n.nodeType === 3).map(n => n.data),
      e.getAttribute("aria-label"), e.title, e.alt]).filter(Boolean)"""
    return lab.page.evaluate(script)


@pytest.mark.parametrize("options", ["ask='Rg'", "mode='line'"])
def test_in_korean_no_label_is_left_in_english(lab, options):
    lab.show(f"canvas = HandwritingCanvas(language='ko', {options})\ncanvas")
    lab.page.locator(".hw-more summary").click()
    lab.draw(sample_strokes("R"))
    assert lab.read()
    assert lab.page.locator(".hw-root").get_attribute("lang") == "ko"
    labels = visible_labels(lab)
    assert any("손글씨 캔버스" in label for label in labels)
    known = {"ReLU"} | {"", *lab.python("canvas.models")}
    english = [label for label in labels if re.search("[A-Za-z]{4,}", label)]
    english = [label for label in english if not re.search("[가-힣]", label)]
    assert not set(english) - known - {"hello"}
    lab.page.screenshot(path=SCREENSHOTS / f"canvas_in_korean_{options[:3]}.png")


def test_a_korean_browser_gets_korean_and_what_python_says_is_translated(lab):
    korean = (
        "Object.defineProperty(navigator, 'language', { get: () => 'ko-KR', configurable: true })"
    )
    lab.page.evaluate(korean)
    try:
        lab.show("canvas = HandwritingCanvas()\ncanvas")
        lab.draw(sample_strokes("R"))
        assert lab.read() == "R"
        lab.page.locator(".hw-bars button").first.click()
        lab.page.wait_for_function("document.querySelector('.hw-status').textContent")
        status = lab.page.locator(".hw-status").text_content()
        assert status.startswith("R(으)로 저장했습니다. 지금까지 ")
        assert "my_handwriting.jsonl" in status
        assert lab.python("canvas.status").startswith("Saved as R: ")
        lab.show("canvas = HandwritingCanvas(language='en')\ncanvas")
        assert lab.page.locator(".hw-root").get_attribute("aria-label") == "Handwriting canvas"
    finally:
        lab.page.evaluate("delete navigator.language")
