"""Apps: who is connected and what it drives; the device's page says so too; one press disconnects.

    apps.py URL [ADDRESS] [NAME]

At "want: app" the starter connects a Buttplug app of this name that drives the device of this address.
"""

import re

from common import argument, browser, expect, open_try, opened, run, say


def scenario():
    address = argument(2, "page-1")
    name = argument(3, "test app")
    with browser() as chromium, opened(chromium) as page:
        say("want", f"app {name}")
        open_try(page, address)
        expect(page.get_by_text(re.compile(rf"{re.escape(name)}.* drives this device\. Moving a slider takes over\."))).to_be_visible()
        page.get_by_role("link", name=re.compile("^Apps")).click()
        item = page.get_by_role("listitem").filter(has_text=name)
        expect(item.get_by_role("link", name=re.compile(re.escape(address)))).to_be_visible()
        say("saw", f"{name} drives {address}")
        expect(page.get_by_role("listitem").filter(has_text="This page")).to_be_visible()
        page.get_by_role("button", name=f"Disconnect {name}").click()
        expect(item).to_have_count(0)
        say("saw", f"{name} disconnected")


run(scenario)
