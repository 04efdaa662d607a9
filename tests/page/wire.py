"""Somebody who has never seen the page, with a board on a wire: by mouse alone from the first view to a motor that runs.

    wire.py URL PORT WIDTH

There is no serial port when this starts; "want: board" asks for one with this path, which answers what it is asked in
Lovense and says nothing else. "drove: N" says that the motor's slider stands at N, "stopped" that all was stopped.
"""

import re

from common import DESKTOP, PHONE, argument, browser, check, drag, expect, opened, picture, run, say, stop_by_mouse


def scenario():
    port = argument(2, "/dev/ttyACM0")
    size = DESKTOP if int(argument(3, "1280")) == DESKTOP["width"] else PHONE
    with browser() as chromium, opened(chromium, size=size) as page:
        picture(page, "wire-1-first")
        page.get_by_role("main").get_by_role("link", name=re.compile("A board on a wire")).click()
        expect(page.get_by_text("There are no serial ports.")).to_be_visible()
        say("want", "board")
        form = page.get_by_role("form", name=f"Bridge {port}")
        expect(form).to_be_visible()
        picture(page, "wire-2-port")
        # A list opens outside of the page, where no test clicks: this is what a click in it does.
        form.get_by_label("What kind of board").select_option("lovense")
        form.get_by_role("button", name="Bridge", exact=True).click()
        result = page.get_by_role("status", name="Result of the change")
        expect(result).to_be_in_viewport()
        link = result.get_by_role("link", name=re.compile("^Try it: Lovense"))
        expect(link).to_be_visible()
        picture(page, "wire-3-bridged")
        wide = page.evaluate("document.documentElement.scrollWidth")
        check(wide <= size["width"], f"the boards are {wide} px wide on a screen of {size['width']} px")
        # The list has it too.
        page.get_by_role("link", name=re.compile("^Devices")).click()
        here = page.get_by_role("row").filter(has_text=port)
        expect(here.get_by_text("Ready", exact=True)).to_be_visible()
        picture(page, "wire-4-devices")
        here.get_by_role("link", name=re.compile("^Try it")).click()
        slider = page.get_by_role("slider", name="Vibrate")
        expect(slider).to_be_enabled()
        say("drove", drag(page, slider, 0.7))
        picture(page, "wire-5-driven")
        stop_by_mouse(page)
        expect(slider).to_have_value("0")
        say("stopped", port)
        # The shortest way back to it.
        page.get_by_role("link", name=re.compile("^Boards")).click()
        link.click()
        expect(slider).to_be_enabled()
        say("drove", drag(page, slider, 0.4))
        stop_by_mouse(page)
        say("stopped", port)


run(scenario)
