"""Simulated devices: chosen, started, driven by a slider, and ended, all without a board.

    simulate.py URL

The gateway has no device when this starts.
"""

import re

from common import browser, expect, opened, run, say


def scenario():
    with browser() as chromium, opened(chromium) as page:
        page.get_by_label("No board at hand?").focus()
        page.get_by_label("No board at hand?").select_option("edge")
        page.get_by_role("button", name="Simulate it").click()
        link = page.get_by_role("link", name=re.compile("^Try it: Lovense Edge"))
        expect(link).to_be_visible()
        say("saw", "a Lovense Edge")
        link.click()
        slider = page.get_by_role("slider").first
        expect(slider).to_be_enabled()
        slider.focus()
        slider.press("End")
        expect(page.get_by_text("You drive this device from this page.")).to_be_visible()
        say("saw", "it is driven")
        page.get_by_role("button", name=re.compile("^Stop simulating")).click()
        expect(page.get_by_text("Gone", exact=True)).to_be_visible()
        page.get_by_role("button", name=re.compile("^Forget")).click()
        say("saw", "it is gone")


run(scenario)
