"""Somebody who comes from Intiface, with their file: by mouse alone from the first view to an axis that moves.

    file.py URL FILE PORT WIDTH

FILE is of an older version and describes a board on a serial port, PORT, with an axis. Beside it, `broken.json` is no
device configuration. "drove: N" says that the axis' slider stands at N, "stopped" that all was stopped.
"""

import pathlib
import re

from common import DESKTOP, PHONE, argument, browser, check, drag, expect, no_complaints, opened, picture, run, say, stop_by_mouse


def choose(page, path):
    with page.expect_file_chooser() as chooser:
        page.get_by_label("Use a device configuration file from Intiface…").click()
    chooser.value.set_files(path)


def scenario():
    file = pathlib.Path(argument(2, "udcf.json"))
    port = argument(3, "/dev/ttyACM0")
    size = DESKTOP if int(argument(4, "1280")) == DESKTOP["width"] else PHONE
    with browser() as chromium, opened(chromium, size=size, ignore=["status of 400"]) as page:
        page.get_by_role("link", name="Use a device configuration file from Intiface…").click()
        section = page.get_by_role("region", name="From a device configuration file")
        expect(section).to_be_in_viewport()

        choose(page, file.with_name("broken.json"))
        expect(section.get_by_role("alert")).to_contain_text("broken.json:2:")
        picture(page, "file-1-broken")
        say("saw", section.get_by_role("alert").inner_text())

        choose(page, file)
        found = page.get_by_role("region", name="What the file describes")
        expect(found).to_contain_text("It is of version 2, and is migrated to version 5")
        expect(found).to_contain_text(port)
        expect(found).to_contain_text("tcode-v03: HwPositionWithDuration 0-")
        expect(found).to_contain_text("such devices will be refused")
        expect(section.get_by_role("alert")).to_have_count(0)
        picture(page, "file-2-found")
        say("saw", found.inner_text().replace("\n", " "))
        no_complaints(page, "what a file describes")
        wide = page.evaluate("document.documentElement.scrollWidth")
        check(wide <= size["width"], f"the file is {wide} px wide on a screen of {size['width']} px")
        say("unused", "nothing is written yet")

        found.get_by_role("button", name="Use this file").click()
        done = page.get_by_role("status", name="Result of the import")
        expect(done).to_contain_text(f"{file.name} is in use.")
        expect(done).to_contain_text("udcf.json")
        expect(found).to_have_count(0)
        offers = page.get_by_role("list", name="Boards of the UDCF")
        expect(offers.get_by_role("listitem")).to_contain_text("not bridged")
        picture(page, "file-3-used")
        say("used", done.inner_text().replace("\n", " "))

        offers.get_by_role("button", name=f"Bridge {port}").click()
        result = page.get_by_role("status", name="Result of the change")
        link = result.get_by_role("link", name=re.compile("^Try it: "))
        expect(link).to_be_in_viewport()
        picture(page, "file-4-bridged")
        link.click()
        slider = page.get_by_role("slider", name=re.compile("^Position over time: Up and down"))
        expect(slider).to_be_enabled()
        say("drove", drag(page, slider, 0.9))
        stop_by_mouse(page)
        say("stopped", port)
        picture(page, "file-5-driven")


run(scenario)
