"""A slider drives, the page says who drives, both stops stop, and a closed page stops what it drove.

    tryit.py URL [ADDRESS]

The gateway has a ready device of this address whose first output goes from 0 upwards. "drove: N" says that the slider
stands at N; "stopped: ..." that a stop was answered; "closed: N" that the page was closed while N was in force.
"""

import re

from common import argument, browser, check, expect, open_try, opened, outcome, run, say, stop_button


def drive_to_end(page, slider):
    slider.focus()
    slider.press("End")
    top = slider.get_attribute("max")
    expect(slider).to_have_attribute("aria-valuetext", f"{top} of {top}")
    expect(page.get_by_text("You drive this device from this page.")).to_be_visible()
    expect(page.get_by_text(re.compile("answered in"))).to_be_visible()
    say("drove", top)


def expect_rest(slider):
    expect(slider).to_have_attribute("aria-valuetext", "not set here")
    expect(slider).to_have_value("0")


def scenario():
    address = argument(2, "page-1")
    with browser() as chromium, opened(chromium) as page:
        slider = open_try(page, address)
        expect(page.get_by_text("Nothing drives this device now.")).to_be_visible()
        drive_to_end(page, slider)

        stop_button(page).click()
        expect(outcome(page)).to_contain_text(re.compile("Stopped [1-9]"))
        expect_rest(slider)
        say("stopped", outcome(page).inner_text())

        drive_to_end(page, slider)
        page.get_by_role("button", name="Stop this device").click()
        expect(outcome(page)).to_contain_text("Stopped 1 device.")
        expect_rest(slider)
        say("stopped", outcome(page).inner_text())

        # By pointer: it acts while it moves, and ends where the finger does.
        box = slider.bounding_box()
        middle = box["y"] + box["height"] / 2
        page.mouse.move(box["x"] + 12, middle)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] * 0.75, middle, steps=40)
        moved = slider.input_value()
        expect(slider).to_have_attribute("aria-valuetext", f"{moved} of {slider.get_attribute('max')}")
        check(int(moved) > 0, "the pointer did not move the slider")
        page.mouse.up()
        say("drove", moved)

        # Elsewhere on the page it goes on, and is still known when one comes back.
        page.get_by_role("link", name="All devices").click()
        slider = open_try(page, address)
        expect(slider).to_have_value(moved)
        expect(page.get_by_text("You drive this device from this page.")).to_be_visible()
        say("closed", moved)


run(scenario)
