"""A page whose script hangs while a slider is on, or a frame that was sent by hand; then it goes on, and drives again.

    hangs.py URL [ADDRESS]

The gateway has a ready device of this address that takes "Vibrate:N;", and whose first output goes from 0 upwards.
"drove: N" says that the device is at N, and has to stay there while the page lives; "hangs: ..." that the page does nothing
any more, for some seconds.
"""

import re

from common import argument, browser, expect, open_try, opened, run, say

# Longer than the gateway waits for a sign of life.
PAUSE = 3_000
HANG = 8_000


def hang(page):
    page.evaluate(f"setTimeout(() => {{ const end = Date.now() + {HANG}; while (Date.now() < end); }})")
    say("hangs", "the script")
    # Answered once the script goes on.
    page.evaluate("0")


def scenario():
    address = argument(2, "page-1")
    with browser() as chromium, opened(chromium) as page:
        slider = open_try(page, address)
        slider.focus()
        slider.press("End")
        top = slider.get_attribute("max")
        expect(slider).to_have_attribute("aria-valuetext", f"{top} of {top}")
        say("drove", top)
        page.wait_for_timeout(PAUSE)
        say("drove", top)
        hang(page)
        expect(slider).to_have_attribute("aria-valuetext", "not set here")
        slider.press("End")
        expect(slider).to_have_attribute("aria-valuetext", f"{top} of {top}")
        say("drove", top)

        page.get_by_role("link", name=re.compile("^Watch")).click()
        form = page.get_by_role("form", name="Send a frame")
        form.get_by_label("Frame to send").fill("Vibrate:7;")
        form.get_by_label("Frame to send").press("Enter")
        expect(form.get_by_role("status")).to_have_text("Sent 10 bytes.")
        say("drove", "7")
        page.wait_for_timeout(PAUSE)
        say("drove", "7")
        hang(page)


run(scenario)
