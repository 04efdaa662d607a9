"""The page of a gateway with a password: a form, stop without a session, sessions that end, and the code of `--open`.

    login.py URL ADDRESS PASSWORD CODE_FILE

The gateway has a ready device of this address. At "want: drive" an app drives it; the starter then makes a file
`driven` beside CODE_FILE. At "want: code" the starter writes a code to log in with into CODE_FILE. At "want: restart" it
starts the gateway again, on the same port, with the device. The device must be at rest after each "stopped" and
"left".
"""

import pathlib
import re
import sys
import time

from common import DESKTOP, PHONE, PATIENCE, browser, check, expect, open_try, opened, outcome, row, run, say, stop_button, url

ADDRESS, PASSWORD, CODE_FILE = sys.argv[2], sys.argv[3], pathlib.Path(sys.argv[4])
AXE = pathlib.Path(__file__).with_name("axe.min.js").read_text(encoding="utf-8")
# What a browser says of a refused login, and of a server that is not there.
REFUSED = ["status of 401", "status of 429"]
ABSENT = ["ERR_CONNECTION_REFUSED", "ERR_CONNECTION_RESET", "ERR_EMPTY_RESPONSE", "WebSocket connection to"]


def form(page):
    return page.get_by_role("heading", name="Log in", level=1)


def field(page):
    return page.get_by_label("Password")


def log_in(page):
    field(page).fill(PASSWORD)
    field(page).press("Enter")
    expect(row(page, ADDRESS)).to_be_visible()


def wait_for(path):
    due = time.monotonic() + PATIENCE / 1000
    while not path.exists():
        check(time.monotonic() < due, f"{path.name} does not come")
        time.sleep(0.02)


def looks(chromium):
    """The form in every size and scheme."""
    for size in (DESKTOP, PHONE):
        for scheme in ("light", "dark"):
            with opened(chromium, size=size, scheme=scheme) as page:
                expect(form(page)).to_be_visible()
                expect(field(page)).to_be_focused()
                expect(field(page)).to_have_attribute("autocomplete", "current-password")
                expect(stop_button(page)).to_be_in_viewport(ratio=1)
                expect(page.get_by_text(ADDRESS)).to_have_count(0)
                expect(page.get_by_role("navigation")).to_have_count(0)
                wide = page.evaluate("document.documentElement.scrollWidth")
                check(wide <= size["width"], f"the form is {wide} px wide on a screen of {size['width']} px")
                page.evaluate(AXE)
                found = page.evaluate("axe.run().then((r) => r.violations.map((v) => `${v.id}: ${v.help} at ${v.nodes.map((n) => n.html).slice(0, 3).join(' ')}`))")
                check(not found, f"axe in the form, {scheme}, {size['width']} px: {' | '.join(found)}")
                say("axe", f"the form, {scheme}, {size['width']} px: nothing")


def scenario():
    with browser() as chromium:
        looks(chromium)
        with opened(chromium, ignore=REFUSED) as page:
            expect(form(page)).to_be_visible()
            say("want", "drive")
            wait_for(CODE_FILE.with_name("driven"))
            stop_button(page).click()
            expect(outcome(page)).to_contain_text("Stopped 1 device")
            say("stopped", "while logged out")

            page.keyboard.press("Tab")
            field(page).focus()
            page.keyboard.type("wrong horse")
            page.keyboard.press("Enter")
            expect(page.get_by_role("alert").filter(has_text="The password is wrong.")).to_be_visible()
            expect(field(page)).to_be_focused()
            expect(field(page)).to_have_attribute("aria-invalid", "true")
            page.keyboard.type(PASSWORD)
            page.keyboard.press("Tab")
            expect(page.get_by_role("button", name="Log in")).to_be_focused()
            page.keyboard.press("Enter")
            expect(row(page, ADDRESS)).to_be_visible()
            check(page.evaluate("document.cookie") == "", "a script can read the cookie")
            say("saw", "a wrong and a right password, by keyboard")

            # A second tab has the same session, and loses it with the first.
            second = page.context.new_page()
            second.goto(f"{url()}/")
            slider = open_try(second, ADDRESS)
            slider.focus()
            slider.press("End")
            say("drove", slider.get_attribute("max"))
            page.get_by_role("button", name="Log out").click()
            expect(form(page)).to_be_visible()
            expect(form(second)).to_be_visible()
            say("left", "both tabs, by logout")
            log_in(page)
            # The other tab looks again when it is shown.
            second.evaluate("dispatchEvent(new Event('online'))")
            expect(second.get_by_role("slider").first).to_be_enabled()
            second.close()
            say("saw", "logout in every tab, and back")

        say("want", "code")
        wait_for(CODE_FILE)
        code = CODE_FILE.read_text(encoding="utf-8")
        with opened(chromium, fragment=f"#code={code}") as page:
            expect(row(page, ADDRESS)).to_be_visible()
            check(page.url == f"{url()}/", f"the address is {page.url}")
            check(code not in page.evaluate("location.href + JSON.stringify(history.state) + document.referrer"), "the code is still there")
            say("saw", "the code, which left the address")
        with opened(chromium, fragment=f"#code={code}", size=PHONE, ignore=REFUSED) as page:
            expect(form(page)).to_be_visible()
            check(page.url == f"{url()}/", f"the address is {page.url}")
            say("saw", "the code does not log in twice")

        with opened(chromium, size=PHONE, ignore=REFUSED + ABSENT, has_touch=True, is_mobile=True) as page:
            log_in(page)
            expect(page.get_by_role("button", name="Log out")).to_be_visible()
            wide = page.evaluate("document.documentElement.scrollWidth")
            check(wide <= PHONE["width"], f"the page is {wide} px wide")
            say("want", "restart")
            expect(form(page)).to_be_visible()
            stop_button(page).tap()
            expect(outcome(page)).to_contain_text(re.compile("Stopped|Nothing"))
            log_in(page)
            say("saw", "a session that ended with the gateway")


run(scenario)
