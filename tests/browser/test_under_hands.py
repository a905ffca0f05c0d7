"""The canvas under real hands, in a notebook and on a shared page: mouse, pen and fingers."""

import pytest
from lab import Canvas, line_recognizer

from lab_utils import sample_strokes

CANVAS = "canvas = HandwritingCanvas()\ncanvas"
PEN, BARREL, ERASER = 1, 2, 32  # bits of `buttons`


class Hands(Canvas):
    """A canvas in a page, and what draws on it through the browser's own input."""

    def __init__(self, page):
        super().__init__(page)
        self.devtools = page.context.new_cdp_session(page)

    @property
    def count(self) -> int:
        """How many strokes the canvas has."""
        return int(self.page.locator(".hw-root").get_attribute("data-strokes"))

    @property
    def ink(self) -> int:
        """How many pixels are dark."""
        return self.page.evaluate(
            """() => {
              const ink = document.querySelector(".hw-ink");
              const { data } = ink.getContext("2d").getImageData(0, 0, ink.width, ink.height);
              return data.filter((value, i) => i % 4 === 3 && value > 127).length;
            }"""
        )

    def pen(self, points, buttons: int = PEN) -> None:
        """Draw a stroke by pen, hovering between strokes as pens do."""
        button = {PEN: "left", BARREL: "right"}[buttons]
        places = self.places(points)
        kinds = ["Moved", "Pressed", *["Moved"] * (len(places) - 1), "Released"]
        for kind, (x, y) in zip(kinds, [places[0], *places, places[-1]], strict=True):
            event = {"type": f"mouse{kind}", "x": x, "y": y, "pointerType": "pen", "force": 0.6}
            if kind != "Moved":
                event |= {"button": button, "clickCount": 1}
            pressed = buttons if kind != "Released" else 0
            self.devtools.send("Input.dispatchMouseEvent", event | {"buttons": pressed})

    def touch(self, name: str, *points) -> None:
        """Let fingers do something, which are at these points."""
        places = [{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(self.places(points))]
        event = {"type": f"touch{name}", "touchPoints": places}
        self.devtools.send("Input.dispatchTouchEvent", event)

    def finger(self, points) -> None:
        """Draw a stroke with a finger."""
        self.touch("Start", points[0])
        for point in points[1:]:
            self.touch("Move", point)
        self.touch("End")

    def dispatch(self, name: str, point, **event) -> None:
        """Send a pointer event that the devtools don't know, such as that of an eraser."""
        ((x, y),) = self.places([point])
        usual = {"pointerId": 7, "isPrimary": True, "bubbles": True, "cancelable": True}
        event = usual | {"clientX": x, "clientY": y, "pointerType": "pen"} | event
        self.page.locator(".hw-ink").dispatch_event(f"pointer{name}", event)

    def wait_for(self, count: int) -> None:
        """Wait until the canvas has so many strokes, and all of them are read."""
        self.page.wait_for_selector(f".hw-root[data-strokes='{count}']:not(.hw-pending)")


@pytest.fixture(params=["notebook", "page"])
def hands(request):
    """Return a canvas in JupyterLab, then one on a shared page on a phone."""
    if request.param == "page":
        return Hands(request.getfixturevalue("open_page")())
    lab = request.getfixturevalue("lab")
    lab.show(CANVAS)
    return Hands(lab.page)


# A pen.


def test_a_pen_writes_letters_of_several_strokes_at_once(hands):
    hands.pen([(60, 40), (110, 42), (200, 40)])
    hands.pen([(205, 12), (190, 10), (130, 12)])  # where the notice lay on the paper
    hands.pen([(110, 42), (110, 120), (110, 190)])
    hands.wait_for(3)
    notice, paper = (hands.page.locator(name).bounding_box() for name in (".hw-leave", ".hw-paper"))
    assert notice["y"] >= paper["y"] + paper["height"]
    hands.finger([(150, 150), (160, 170), (170, 190)])  # a palm is still no ink
    hands.pen([(20, 20), (30, 40)])
    hands.wait_for(4)
    hands.page.locator(".hw-leave").click()
    hands.finger([(150, 150), (160, 170), (170, 190)])
    hands.wait_for(5)


def test_the_barrel_button_draws_nothing(hands):
    hands.pen([(60, 40), (110, 42), (200, 40)], BARREL)
    hands.pen([(60, 60), (110, 62), (200, 60)])
    hands.wait_for(1)


def test_the_eraser_end_takes_strokes_away_and_undo_brings_them_back(hands):
    for y in (40, 100, 160):
        hands.pen([(40, y), (110, y), (180, y)])
    hands.wait_for(3)
    full = hands.ink
    for name, y in (("down", 70), ("move", 80), ("move", 100), ("up", 120)):
        pressed = {"button": 5, "buttons": ERASER if name != "up" else 0}
        hands.dispatch(name, (110, y), **pressed)
    hands.wait_for(2)
    assert hands.ink == pytest.approx(full * 2 / 3, rel=0.05)
    hands.page.locator(".hw-undo").click()
    hands.wait_for(3)
    assert hands.ink == pytest.approx(full, rel=0.01)


def test_with_a_pen_a_finger_scrolls_the_page(hands):
    hands.page.set_viewport_size({"width": 390, "height": 420})
    hands.page.locator(".hw-ink").scroll_into_view_if_needed()
    hands.pen([(40, 40), (110, 60), (180, 40)])
    scrolled = """() => [...document.querySelectorAll("*")]
      .reduce((sum, element) => sum + element.scrollTop, 0)"""
    before = hands.page.evaluate(scrolled)
    for _ in range(2):  # up, then it may be at the end; down again
        hands.touch("Start", (110, 150))
        for y in range(140, 20, -10):
            hands.touch("Move", (110, y))
            hands.page.wait_for_timeout(16)
        hands.touch("End")
        if hands.page.evaluate(scrolled) != before:
            break
    assert hands.page.evaluate(scrolled) != before
    hands.wait_for(1)
    hands.page.set_viewport_size({"width": 1100, "height": 800})


# Fingers.


def test_two_fingers_zoom_and_leave_no_stroke(hands):
    hands.touch("Start", (110, 110))
    hands.touch("Start", (110, 110), (130, 130))
    for i in range(1, 15):
        hands.touch("Move", (110 - 4 * i, 110 - 4 * i), (130 + 4 * i, 130 + 4 * i))
        hands.page.wait_for_timeout(16)
    hands.touch("End")
    hands.page.wait_for_function("() => visualViewport.scale > 1.2")
    assert hands.count == 0
    hands.devtools.send("Emulation.setPageScaleFactor", {"pageScaleFactor": 1})
    hands.page.wait_for_function("() => visualViewport.scale === 1")
    hands.finger([(110, 40), (110, 110), (110, 180)])
    hands.wait_for(1)


def test_a_tap_right_after_a_stroke_is_a_tap(hands):
    hands.finger([(110, 40), (110, 60), (110, 100), (110, 180)])
    hands.page.locator(".hw-clear").tap()
    hands.wait_for(0)


# The page moves, and is zoomed.


def test_ink_stays_under_the_pen_when_the_page_moves(hands):
    mouse = hands.page.mouse
    ((x, y),) = hands.places([(110, 60)])
    mouse.move(x, y)
    mouse.down()
    mouse.move(x + 2, y + 2)
    hands.page.evaluate(
        """() => {
          const above = document.createElement("div");
          above.style.height = "40px";
          document.querySelector(".hw-frame").before(above);
        }"""
    )
    ((end_x, end_y),) = hands.places([(150, 160)])
    mouse.move(end_x, end_y)
    mouse.up()
    hands.wait_for(1)
    dark = hands.page.evaluate(
        """() => {
          const ink = document.querySelector(".hw-ink");
          const s = ink.height / 220;
          const { data } = ink.getContext("2d").getImageData(145 * s, 155 * s, 10 * s, 10 * s);
          return data.some((value, i) => i % 4 === 3 && value > 127);
        }"""
    )
    assert dark


def test_the_paper_is_sharp_after_zooming(hands):
    hands.draw(sample_strokes("A"))
    width, height = hands.page.evaluate("[innerWidth, innerHeight]")
    for scale in (4, 2, 3):  # the window has less room, and each of its pixels more of the screen's
        screen = {"width": width - 10 * scale, "height": height, "mobile": False}
        change = screen | {"deviceScaleFactor": scale}
        hands.devtools.send("Emulation.setDeviceMetricsOverride", change)
        hands.page.wait_for_function(
            """scale => {
              const { clientWidth, width } = document.querySelector(".hw-ink");
              return Math.abs(width - clientWidth * scale) < 1;
            }""",
            arg=scale,
        )
        assert hands.ink > 300
    hands.devtools.send("Emulation.clearDeviceMetricsOverride")


def test_a_canvas_that_is_taken_out_and_put_back_goes_on(hands):
    hands.draw(sample_strokes("A"))
    count = len(sample_strokes("A"))
    hands.wait_for(count)
    before = hands.ink
    hands.page.evaluate(
        """async () => {
          const frame = document.querySelector(".hw-frame");
          const parent = frame.parentElement;
          frame.remove();
          await new Promise(resolve => setTimeout(resolve, 200));
          parent.append(frame);
          await new Promise(resolve => setTimeout(resolve, 200));
        }"""
    )
    assert hands.ink == before
    hands.draw([[(20, 200), (60, 200)]])
    hands.wait_for(count + 1)
    assert hands.ink > before


# Keys and buttons.


def test_after_a_button_the_keys_are_for_the_ink(hands):
    hands.draw(sample_strokes("T"))
    count = len(sample_strokes("T"))
    hands.wait_for(count)
    for button in (".hw-clear", ".hw-next"):
        hands.page.locator(button).click()
        hands.wait_for(0)
        hands.page.keyboard.press("Control+z")
        hands.wait_for(count)
    hands.page.locator(".hw-next").focus()
    hands.page.keyboard.press("Enter")
    hands.wait_for(0)
    hands.page.keyboard.press("Control+z")
    hands.wait_for(count)


def test_keys_leave_the_ink_alone_while_a_stroke_is_drawn(hands):
    hands.draw([[(40, 40), (180, 40)]])
    hands.wait_for(1)
    places = hands.places([(40, 100), (110, 110), (180, 100)])
    hands.page.mouse.move(*places[0])
    hands.page.mouse.down()
    hands.page.mouse.move(*places[1])
    for key in ("Control+z", "Delete", "Enter"):
        hands.page.keyboard.press(key)
    hands.page.mouse.move(*places[2])
    hands.page.mouse.up()
    hands.wait_for(2)
    hands.page.keyboard.press("Control+z")
    hands.wait_for(1)
    hands.page.keyboard.press("Control+y")
    hands.wait_for(2)


def test_shortcuts_work_in_other_alphabets_and_no_others_act(hands):
    hands.draw([[(40, 40), (180, 40)]])
    hands.wait_for(1)
    press = "e => document.activeElement.dispatchEvent(new KeyboardEvent('keydown', e))"
    usual = {"bubbles": True, "cancelable": True}
    for key in ("Enter", "Delete", "Backspace"):
        hands.page.evaluate(press, usual | {"key": key, "code": key, "ctrlKey": True})
    hands.page.wait_for_timeout(100)
    assert hands.count == 1
    hands.page.evaluate(press, usual | {"key": "я", "code": "KeyZ", "ctrlKey": True})
    hands.wait_for(0)
    hands.page.evaluate(press, usual | {"key": "ㅛ", "code": "KeyY", "ctrlKey": True})
    hands.wait_for(1)


# Long strokes, translators, printers.


def test_a_stroke_of_many_thousand_points_stays(hands):
    hands.page.evaluate(
        """() => {
          const ink = document.querySelector(".hw-ink");
          const box = ink.getBoundingClientRect();
          const send = (name, i) => ink.dispatchEvent(new PointerEvent(`pointer${name}`, {
            pointerId: 9, pointerType: "mouse", bubbles: true, cancelable: true,
            clientX: box.left + box.width * (0.5 + 0.4 * Math.cos(i / 7)),
            clientY: box.top + box.height * (0.5 + 0.4 * Math.sin(i / 11)),
          }));
          send("down", 0);
          for (let i = 1; i < 12_000; i += 1) send("move", i);
          send("up", 12_000);
        }"""
    )
    hands.wait_for(1)
    assert hands.ink > 1000
    assert "full" not in hands.page.locator(".hw-status").text_content()
    hands.page.locator(".hw-clear").click()
    hands.wait_for(0)


def test_translators_leave_what_was_read(hands):
    hands.draw(sample_strokes("A"))
    hands.read()
    for name in (".hw-reading", ".hw-text"):
        assert hands.page.locator(name).get_attribute("translate") == "no"


def test_it_prints_dark_on_light_without_its_buttons(hands):
    hands.draw(sample_strokes("A"))
    hands.read()
    root = hands.page.locator(".hw-root")
    paint = """colour => [document.querySelector(".hw-frame"), document.body]
      .forEach(element => element.style.background = colour)"""
    hands.page.evaluate(paint, "#101010")
    hands.page.wait_for_selector(".hw-root[data-theme='dark']")
    hands.page.emulate_media(media="print")
    hands.page.wait_for_selector(".hw-root[data-theme='light']")
    assert not hands.page.locator(".hw-tools").is_visible()
    assert root.is_visible()
    hands.page.emulate_media(media="screen")
    hands.page.wait_for_selector(".hw-root[data-theme='dark']")
    hands.page.evaluate(paint, "")
    hands.page.wait_for_selector(".hw-root[data-theme='light']")


# Small windows.


@pytest.mark.parametrize("mode", ["character", "line"])
@pytest.mark.parametrize("size", [(740, 360), (853, 480)], ids=["landscape", "zoomed"])
def test_ink_and_buttons_are_in_sight_together(mode, size, request):
    width, height = size
    if size == (740, 360):
        recognizer = line_recognizer() if mode == "line" else None
        viewport = {"width": width, "height": height}
        page = request.getfixturevalue("open_page")(recognizer, viewport=viewport)
        room = height
    else:
        lab = request.getfixturevalue("lab")
        lab.show(f"canvas = HandwritingCanvas(mode='{mode}')\ncanvas")
        page = lab.page
        page.set_viewport_size({"width": width, "height": height})
        page.wait_for_timeout(300)
        room = page.locator(".jp-WindowedPanel-outer").first.bounding_box()["height"]
    try:
        ink, tools = (page.locator(name).bounding_box() for name in (".hw-paper", ".hw-tools"))
        assert ink["height"] >= 160
        assert tools["y"] + tools["height"] - ink["y"] <= room
        if size == (740, 360):
            assert tools["y"] + tools["height"] <= height  # without scrolling at all
    finally:
        page.set_viewport_size({"width": 1100, "height": 800})


def test_with_its_options_open_the_status_stays_in_sight(hands):
    hands.draw(sample_strokes("A"))
    hands.read()
    hands.page.locator(".hw-more summary").click()
    status, options, tools = (
        hands.page.locator(name).bounding_box() or {"y": 0, "height": 0}
        for name in (".hw-status", ".hw-more", ".hw-tools")
    )
    assert status["y"] + status["height"] <= options["y"]
    assert status["y"] - tools["y"] - tools["height"] < 20
    hands.page.locator(".hw-more summary").click()
