"""A board on Bluetooth: found by a scan, bridged by mouse, driven at once, stopped, and its entry removed again.

    bluetooth.py URL ADDRESS NAME

A board advertises, and the gateway has no entry for it. "check: bridged" and "check: removed" say what gateway.toml must
contain by then; "drove: N" that the slider stands at N; "stopped: ..." and "check: removed" that the board must be at rest.
"""

import re
import sys

from common import DESKTOP, PHONE, browser, expect, no_complaints, open_try, opened, outcome, row, run, say, stop_button

ADDRESS, NAME = sys.argv[2], sys.argv[3]


def bridge(page, where):
    page.get_by_role("button", name=re.compile("^Scan")).click()
    seen = page.get_by_role("list", name="Bluetooth peripherals").get_by_role("listitem").filter(has_text=NAME)
    expect(seen).to_contain_text(ADDRESS)
    expect(seen).to_contain_text(re.compile("−(59|60|61) dBm"))
    expect(seen).to_contain_text("fits lovense")
    button = seen.get_by_role("button", name=f"Bridge this: {NAME}")
    button.click()
    form = page.get_by_role("form", name=f"Bridge {NAME}")
    expect(form.get_by_label("Its service")).to_have_value("lovense")
    no_complaints(page, f"the form, {where}")
    form.get_by_role("button", name="Bridge", exact=True).click()
    result = page.get_by_role("status", name="Result of the change")
    expect(result).to_contain_text("gateway.toml")
    expect(result).to_contain_text("[[ble]]")
    expect(form).not_to_be_visible()
    # What the scan saw does not offer it once more.
    expect(seen).to_contain_text("bridged by ble.0")
    expect(button).to_have_count(0)
    say("check", "bridged")
    expect(seen.get_by_role("link")).to_be_visible()
    no_complaints(page, f"a bridged board, {where}")


def drive(page, where):
    page.get_by_role("link", name=re.compile("^Devices")).click()
    here = row(page, ADDRESS)
    expect(here).to_contain_text("Ready")
    expect(here).to_contain_text("Bluetooth")
    slider = open_try(page, ADDRESS)
    slider.focus()
    slider.press("End")
    top = slider.get_attribute("max")
    expect(slider).to_have_attribute("aria-valuetext", f"{top} of {top}")
    say("drove", top)
    no_complaints(page, f"its outputs, {where}")
    stop_button(page).click()
    expect(outcome(page)).to_contain_text("Stopped 1 device")
    say("stopped", "by the button")
    # Its entry goes while it runs.
    slider.press("End")
    expect(slider).to_have_attribute("aria-valuetext", f"{top} of {top}")
    say("drove", top)


def remove(page):
    page.get_by_role("link", name=re.compile("^Boards")).click()
    entries = page.get_by_role("list", name="Entries")
    entries.get_by_role("button", name=re.compile("^Remove ble.0")).click()
    expect(entries).not_to_be_visible()
    say("check", "removed")
    seen = page.get_by_role("list", name="Bluetooth peripherals").get_by_role("listitem").filter(has_text=NAME)
    expect(seen.get_by_role("button", name=f"Bridge this: {NAME}")).to_be_visible()
    page.get_by_role("link", name=re.compile("^Devices")).click()
    here = row(page, ADDRESS)
    expect(here).to_contain_text("Gone")
    expect(here).to_contain_text("its configuration changed")
    here.get_by_role("button", name=f"Forget {ADDRESS}").click()
    expect(here).to_have_count(0)


def scenario():
    with browser() as chromium:
        for size, scheme in ((DESKTOP, "light"), (PHONE, "dark")):
            with opened(chromium, "#/boards", size=size, scheme=scheme) as page:
                where = f"{scheme}, {size['width']} px"
                bridge(page, where)
                drive(page, where)
                remove(page)
                say("saw", f"a board come and go, {where}")


run(scenario)
