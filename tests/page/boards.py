"""A board on a wire: it appears by itself, is bridged by mouse, and its entry is removed again.

    boards.py URL [PORT]

There is no serial port when this starts. "want: board" asks for one with this path.
"""

import re

from common import DESKTOP, PHONE, argument, browser, check, expect, opened, run, say


def hear(page, form):
    form.get_by_role("button", name="Listen to the board").click()
    expect(form).to_contain_text("Open at 115200 baud.")
    expect(form.get_by_role("status", name="What it looks like")).to_contain_text("Nothing for 3 s")
    say("want", "text")
    log = form.get_by_role("log", name="What the board says")
    expect(log).to_contain_text("ready\\n")
    form.get_by_role("button", name="Send D0").click()
    say("want", "asked")
    expect(log).to_contain_text("TCode v0.3")
    say("want", "noise")
    form.get_by_role("button", name="Try 230400").click()
    expect(form).to_contain_text("Open at 230400 baud.")
    expect(form.get_by_label("Baud rate")).to_have_value("230400")
    say("saw", "what the board says")


def bridge(chromium, path, size, scheme):
    with opened(chromium, "#/boards", size=size, scheme=scheme) as page:
        ports = page.get_by_role("list", name="Serial ports")
        if size is DESKTOP:
            expect(page.get_by_text("There are no serial ports.")).to_be_visible()
            say("want", "board")
        expect(ports.get_by_role("listitem")).to_contain_text(path)
        # The only port: its form is open already. The button closes it and opens it again.
        form = page.get_by_role("form", name=f"Bridge {path}")
        expect(form).to_be_visible()
        button = ports.get_by_role("button", name=f"Bridge this: {path}")
        button.click()
        expect(form).not_to_be_visible()
        button.click()
        expect(form).to_be_visible()
        if size is DESKTOP:
            hear(page, form)
        form.get_by_label("What kind of board").select_option("arduino")
        expect(form.get_by_label("Baud rate")).to_have_value("9600")
        wide = page.evaluate("document.documentElement.scrollWidth")
        check(wide <= size["width"], f"the form is {wide} px wide on a screen of {size['width']} px")
        form.get_by_role("button", name="Bridge", exact=True).click()
        result = page.get_by_role("status", name="Result of the change")
        expect(result).to_contain_text("gateway.toml")
        expect(result).to_contain_text("baud_rate = 9600")
        expect(result).to_contain_text('framing.delimiter = "\\n"')
        say("saw", "what was written")
        expect(ports).to_contain_text("serial.0")
        expect(form).not_to_be_visible()
        entries = page.get_by_role("list", name="Entries")
        expect(entries.get_by_role("listitem")).to_have_count(1)
        say("check", "bridged")
        entries.get_by_role("button", name=re.compile("^Remove serial.0")).click()
        expect(entries).not_to_be_visible()
        expect(result).to_contain_text("no longer bridged")
        expect(button).to_be_visible()
        say("check", "removed")


def scenario():
    path = argument(2, "/dev/ttyACM0")
    with browser() as chromium:
        for size, scheme in ((DESKTOP, "light"), (PHONE, "dark")):
            bridge(chromium, path, size, scheme)


run(scenario)
