"""Watch: frames both ways, a filter, a pause that keeps what it has, a file, and frames sent by hand.

    watch.py URL [ADDRESS]

The gateway has a ready device of this address that takes any text. "sent: ..." names what it must have received.
"""

import re

from common import argument, browser, check, expect, opened, row, run, say


def scenario():
    address = argument(2, "page-1")
    with browser() as chromium, opened(chromium, accept_downloads=True) as page:
        row(page, address).get_by_role("link", name=re.compile("^Watch")).click()
        log = page.get_by_role("log", name="Frames")
        expect(log).to_contain_text("The device is connected.")
        form = page.get_by_role("form", name="Send a frame")
        frame = form.get_by_label("Frame to send")

        def send(text, written="Text", to="to the device"):
            form.get_by_label("Written as").select_option(written)
            form.get_by_label("Send to").select_option(to)
            frame.fill(text)
            frame.press("Enter")

        send("Battery;\\n")
        expect(log).to_contain_text("Battery;\\n")
        expect(log).to_contain_text("42 61 74 74 65 72 79 3b 0a")
        expect(form.get_by_role("status")).to_have_text("Sent 9 bytes.")
        say("sent", "Battery;\\n")
        send("44 65 76 69 63 65 54 79 70 65 3b", written="Hex")
        expect(log).to_contain_text("DeviceType;")
        say("sent", "DeviceType;")
        send("4f 4", written="Hex")
        expect(form.get_by_role("status")).to_contain_text("one is missing")
        send("as-the-device;", to="as if from the device")
        line = log.locator("p", has_text="as-the-device;")
        expect(line.get_by_role("img", name="from the device")).to_be_visible()
        say("saw", "a frame as if from the device")

        search = page.get_by_label("Filter frames by text or hex")
        search.fill("as-the-dev")
        expect(log.get_by_text("DeviceType;")).to_have_count(0)
        expect(line).to_be_visible()
        search.fill("44 65 76")
        expect(log.get_by_text("DeviceType;")).to_be_visible()
        expect(line).to_have_count(0)
        search.fill("")
        say("saw", "the filter by text and by hex")

        page.get_by_role("button", name="Pause").click()
        send("during-the-pause;", to="as if from the device")
        expect(page.get_by_text(re.compile(r"Paused\. [1-9]\d* frames? came since\."))).to_be_visible()
        check(log.get_by_text("during-the-pause;").count() == 0, "a paused log changed")
        with page.expect_download() as saved:
            page.get_by_role("button", name="Save").click()
        name = saved.value.suggested_filename
        with open(saved.value.path(), encoding="utf-8") as file:
            text = file.read()
        check(name.startswith("frames-") and name.endswith(".txt"), f"the file is called {name}")
        for part in ("Battery;\\n", "during-the-pause;", "<-", "->", "44 65 76"):
            check(part in text, f"{part!r} is not in the saved file")
        page.get_by_role("button", name="Resume").click()
        expect(log.get_by_text("during-the-pause;")).to_be_visible()
        say("saw", f"the pause, and {name}")


run(scenario)
