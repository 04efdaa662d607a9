"""gateway.toml changes under the open page: broken and mended by hand, and with another password.

    reload.py URL ADDRESS FIRST SECOND

The gateway has a ready device of this address, and the password FIRST. At "want: broken" the starter breaks the fourth line
of gateway.toml; at "want: mended" it takes that back, and at "want: password" it makes the password SECOND. "drove: N" says
that the slider stands at N; "stopped: ..." and "left: ..." that the device must be at rest.
"""

import re
import sys

from common import DESKTOP, PHONE, browser, check, expect, no_complaints, open_try, opened, outcome, row, run, say, stop_button

ADDRESS, FIRST, SECOND = sys.argv[2:5]
# What a browser says of a refused login, and of entries that cannot be read.
REFUSED = ["status of 401"]
UNREADABLE = ["status of 409"]


def log_in(page, password):
    page.get_by_label("Password").fill(password)
    page.get_by_label("Password").press("Enter")


def drive(slider):
    top = slider.get_attribute("max")
    slider.focus()
    slider.press("End")
    expect(slider).to_have_attribute("aria-valuetext", f"{top} of {top}")
    say("drove", top)


def broken(page, where):
    slider = open_try(page, ADDRESS)
    banner = page.get_by_role("status").filter(has_text="The configuration is not applied.")
    expect(banner).to_have_count(0)
    say("want", "broken")
    expect(banner).to_contain_text(re.compile(r"gateway\.toml:4\b"))
    expect(stop_button(page)).to_be_in_viewport(ratio=1)
    no_complaints(page, f"a banner, {where}")
    drive(slider)
    stop_button(page).click()
    expect(outcome(page)).to_contain_text("Stopped 1 device")
    say("stopped", "under the banner")
    for view in ("Boards", "Apps", "Devices"):
        page.get_by_role("link", name=re.compile(f"^{view}")).click()
        expect(page.get_by_role("heading", name=view, level=1)).to_be_visible()
        expect(banner).to_be_visible()
    say("want", "mended")
    expect(banner).to_have_count(0)
    say("saw", f"a banner come and go, {where}")


def scenario():
    with browser() as chromium:
        for size, scheme in ((DESKTOP, "light"), (PHONE, "dark")):
            with opened(chromium, size=size, scheme=scheme, ignore=UNREADABLE) as page:
                log_in(page, FIRST)
                broken(page, f"{scheme}, {size['width']} px")
        with opened(chromium, ignore=REFUSED) as page:
            log_in(page, FIRST)
            drive(open_try(page, ADDRESS))
            say("want", "password")
            expect(page.get_by_role("heading", name="Log in", level=1)).to_be_visible()
            expect(page.get_by_label("Password")).to_be_focused()
            expect(page.get_by_text(ADDRESS)).to_have_count(0)
            say("left", "logged out by the change")
            log_in(page, FIRST)
            expect(page.get_by_role("alert").filter(has_text="The password is wrong.")).to_be_visible()
            log_in(page, SECOND)
            slider = page.get_by_role("slider").first
            expect(slider).to_be_enabled()
            check(slider.input_value() == "0", "the slider stands where it was before")
            drive(slider)
            say("closed", "logged in again")
            page.get_by_role("link", name="All devices").click()
            expect(row(page, ADDRESS)).to_be_visible()


run(scenario)
