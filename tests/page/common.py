"""What the scenarios share: a browser, a console that must stay clean, and lines for the one that started them.

A scenario is started with the page's URL. It prints what it saw, one line each, and exits with 1 and a line
"wrong: ..." if the page is not as it should be. A line "want: ..." asks the starter to make something happen, such as
a device that connects; the scenario goes on as soon as the page shows it.
"""

import contextlib
import os
import pathlib
import re
import shutil
import sys
from urllib.parse import urlsplit

from playwright.sync_api import Error, expect, sync_playwright

DESKTOP = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}
AXE = pathlib.Path(__file__).with_name("axe.min.js")
BROWSERS = ["chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"]
PATIENCE = 20_000

expect.set_options(timeout=PATIENCE)


def url():
    return sys.argv[1].rstrip("/")


def argument(position, default):
    return sys.argv[position] if len(sys.argv) > position else default


def say(kind, text):
    print(f"{kind}: {text}", flush=True)


def fail(text):
    say("wrong", text)
    sys.exit(1)


def check(condition, text):
    if not condition:
        fail(text)


def browser_path():
    named = os.environ.get("WSDM_TEST_CHROMIUM")
    found = named or next(filter(None, map(shutil.which, BROWSERS)), None)
    if not found:
        fail(f"no browser: install chromium-headless-shell, or name one in WSDM_TEST_CHROMIUM (looked for {', '.join(BROWSERS)})")
    return found


class Console:
    """Everything that a browser complains about: messages, exceptions, its own log (failed loads, the content security
    policy), and requests to any other place than the gateway."""

    def __init__(self, page, origin, ignore):
        self.complaints = []
        self.ignore = ignore
        self.origin = origin
        page.on("console", lambda m: self.add(f"console {m.type}: {m.text}"))
        page.on("pageerror", lambda e: self.add(f"exception: {e}"))
        page.on("request", self.request)
        log = page.context.new_cdp_session(page)
        log.on("Log.entryAdded", lambda e: self.add(f"browser {e['entry']['level']}: {e['entry']['text']}"))
        log.send("Log.enable")

    def add(self, text):
        if not any(re.search(pattern, text) for pattern in self.ignore):
            self.complaints.append(text)

    def request(self, request):
        place = urlsplit(request.url)
        if place.scheme in ("http", "https", "ws", "wss") and place.netloc != self.origin:
            self.add(f"a request to another place: {request.url}")


@contextlib.contextmanager
def browser():
    with sync_playwright() as playwright:
        # Without its sandbox, as it refuses to start as root otherwise; it meets no page but ours.
        chromium = playwright.chromium.launch(executable_path=browser_path(), args=["--no-sandbox"])
        try:
            yield chromium
        finally:
            chromium.close()


@contextlib.contextmanager
def opened(chromium, fragment="", size=DESKTOP, scheme="light", ignore=(), at=None, **options):
    """The page in a context of its own; its console must have been clean at the end. `at` is another gateway's page."""
    base = at or url()
    context = chromium.new_context(viewport=size, color_scheme=scheme, **options)
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    console = Console(page, urlsplit(base).netloc, ignore)
    page.goto(f"{base}/{fragment}")
    page.get_by_role("heading", level=1).wait_for()
    yield page
    context.close()
    check(not console.complaints, "the console is not clean: " + " | ".join(console.complaints))


def no_complaints(page, where):
    """axe finds nothing in what is shown now, light and dark, and it is no wider than the screen."""
    if page.evaluate("typeof axe") == "undefined":
        page.evaluate(AXE.read_text(encoding="utf-8"))
    for scheme in ("light", "dark"):
        # Without the colours that come between the two.
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        found = page.evaluate("axe.run().then((r) => r.violations.map((v) => `${v.id}: ${v.help} at ${v.nodes.map((n) => n.html).slice(0, 3).join(' ')}`))")
        check(not found, f"axe in {where}, {scheme}: {' | '.join(found)}")
    page.emulate_media(color_scheme="null", reduced_motion="null")
    wide, screen = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    check(wide <= screen, f"{where} is {wide} px wide on a screen of {screen} px")


def row(page, address):
    return page.get_by_role("row").filter(has=page.get_by_role("rowheader").filter(has_text=re.compile(rf"{re.escape(address)}(?![\w-])")))


def outcome(page):
    return page.get_by_role("status", name="Result of stop")


def stop_button(page):
    return page.get_by_role("button", name="Stop everything")


def press(page, locator, by_keyboard):
    """Presses a button or follows a link, by mouse, or by Tab and Enter alone."""
    if not by_keyboard:
        locator.click()
        return
    expect(locator).to_be_visible()
    for _ in range(100):
        if locator.evaluate("(element) => element === document.activeElement"):
            page.keyboard.press("Enter")
            return
        page.keyboard.press("Tab")
    fail("a hundred presses of Tab did not reach it")


def open_try(page, address):
    """From the list to the device's sliders; returns the first one, ready to be moved."""
    row(page, address).get_by_role("link", name=re.compile("^Try it")).click()
    slider = page.get_by_role("slider").first
    expect(slider).to_be_enabled()
    return slider


def drag(page, slider, part):
    """Moves a slider from its lower end to a part of its way with the mouse, and lets go there. Returns its value."""
    height = slider.bounding_box()["height"]
    slider.hover(position={"x": 12, "y": height / 2})
    page.mouse.down()
    box = slider.bounding_box()
    page.mouse.move(box["x"] + box["width"] * part, box["y"] + box["height"] / 2, steps=20)
    page.mouse.up()
    value = slider.input_value()
    expect(slider).to_have_attribute("aria-valuetext", f"{value} of {slider.get_attribute('max')}")
    expect(page.get_by_text("You drive this device from this page.")).to_be_visible()
    return value


def stop_by_mouse(page):
    stop_button(page).click()
    expect(outcome(page)).to_contain_text(re.compile("Stopped [1-9]"))


def picture(page, name):
    """For people who look at the page: only if WSDM_TEST_PICTURES names a folder."""
    if folder := os.environ.get("WSDM_TEST_PICTURES"):
        page.screenshot(path=f"{folder}/{name}-{page.viewport_size['width']}.png", full_page=True)


def in_short(text):
    """One line, without the picture of the whole page that Playwright adds."""
    return " ".join(text.split("Aria snapshot")[0].split())[:1000]


def run(scenario):
    try:
        scenario()
    except AssertionError as error:
        fail(in_short(str(error)))
    except Error as error:
        fail(in_short(error.message))
    say("done", os.path.basename(sys.argv[0]))
