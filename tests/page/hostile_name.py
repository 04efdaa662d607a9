"""A device whose name is markup is shown as text, in the list and on its own page.

    hostile_name.py URL [ADDRESS] [NAME]

At "want: device" the starter connects a device that calls itself NAME; it may be refused for that.
"""

import re

from common import argument, browser, check, expect, opened, row, run, say

NAME = "<img src=x onerror=\"document.title='taken'\">"


def scenario():
    address = argument(2, "page-1")
    name = argument(3, NAME)
    with browser() as chromium, opened(chromium) as page:
        say("want", f"device {address} {name}")
        here = row(page, address)
        expect(here).to_contain_text(name)
        here.get_by_role("link", name=re.compile("^Watch")).click()
        expect(page.get_by_role("main")).to_contain_text(name)
        check(page.locator("main img, main script, main iframe").count() == 0, "the name became an element")
        check(page.title() == "WSDM Gateway", f"the name ran: the title is {page.title()!r}")
        say("saw", "the name as text")


run(scenario)
