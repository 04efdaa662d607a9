"""axe finds nothing in any view, light and dark, desktop and phone; and the keyboard alone is enough.

    accessible.py URL [ADDRESS]

The gateway has a ready device of this address; a refused or gone one beside it shows more of the page.
"""

import pathlib
from urllib.parse import quote

from common import DESKTOP, PHONE, argument, browser, check, expect, fail, opened, outcome, row, run, say

AXE = pathlib.Path(__file__).with_name("axe.min.js").read_text(encoding="utf-8")


def tab_to(page, what):
    for _ in range(100):
        page.keyboard.press("Tab")
        focused = page.evaluate("({label: (document.activeElement.ariaLabel ?? document.activeElement.textContent), type: document.activeElement.type ?? ''})")
        if what(focused):
            return
    fail("a hundred presses of Tab did not reach it")


def scenario():
    address = argument(2, "page-1")
    place = quote(address, safe="")
    views = {"devices": "#/devices", "try it": f"#/device/{place}/try", "watch": f"#/device/{place}/watch", "configure": f"#/device/{place}/configure", "apps": "#/apps", "boards": "#/boards"}
    with browser() as chromium:
        for size in (DESKTOP, PHONE):
            for scheme in ("light", "dark"):
                for name, fragment in views.items():
                    with opened(chromium, fragment, size=size, scheme=scheme) as page:
                        if name in ("try it", "configure"):
                            expect(page.get_by_role("slider").first).to_be_enabled()
                        if name == "devices":
                            expect(row(page, address)).to_be_visible()
                        page.evaluate(AXE)
                        found = page.evaluate("axe.run().then((r) => r.violations.map((v) => `${v.id}: ${v.help} at ${v.nodes.map((n) => n.html).slice(0, 3).join(' ')}`))")
                        check(not found, f"axe in {name}, {scheme}, {size['width']} px: {' | '.join(found)}")
                        say("axe", f"{name}, {scheme}, {size['width']} px: nothing")
        with opened(chromium) as page:
            expect(row(page, address)).to_be_visible()
            tab_to(page, lambda f: f["label"].startswith("Try it") and address in f["label"])
            page.keyboard.press("Enter")
            expect(page.get_by_role("slider").first).to_be_enabled()
            expect(page.get_by_role("heading", level=1)).to_be_focused()
            tab_to(page, lambda f: f["type"] == "range")
            page.keyboard.press("ArrowRight")
            expect(page.get_by_role("slider").first).not_to_have_attribute("aria-valuetext", "not set here")
            tab_to(page, lambda f: f["label"] == "Stop this device")
            page.keyboard.press("Enter")
            expect(outcome(page)).to_contain_text("Stopped")
            say("saw", "all of it by keyboard")


run(scenario)
