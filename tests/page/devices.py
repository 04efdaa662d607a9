"""Devices appear, change, go and come back without a reload, in a row that stays where it is.

    devices.py URL [ADDRESS] [REASON]

The starter connects a device of this address at "want: device", ends it at "want: gone", connects it again at
"want: back", and ends it for good at "want: gone again". REASON is a part of the reason that is expected.
"""

import re

from common import argument, browser, check, expect, opened, row, run, say


def scenario():
    address = argument(2, "page-1")
    reason = argument(3, "")
    with browser() as chromium, opened(chromium) as page:
        page.evaluate("window.neverReloaded = true")
        rows = lambda: page.evaluate("""[...document.querySelectorAll('a[href$="/watch"]')].map((a) => a.getAttribute('href'))""")
        first = rows()
        say("want", f"device {address}")
        here = row(page, address)
        expect(here).to_contain_text("Ready")
        say("saw", f"{address} ready as {here.get_by_role('rowheader').inner_text().splitlines()[0]}")
        expect(here.get_by_role("link", name=re.compile("^Try it"))).to_be_visible()

        before = rows()
        check(before[: len(first)] == first, f"a new device moved the others: {first} became {before}")
        say("want", f"gone {address}")
        expect(here).to_contain_text("Gone")
        if reason:
            expect(here).to_contain_text(reason)
        say("saw", f"{address} gone: {here.get_by_role('cell').last.inner_text()}")
        check(rows() == before, f"the rows moved: {before} became {rows()}")

        say("want", f"back {address}")
        expect(here).to_contain_text("Ready")
        say("saw", f"{address} ready again")

        say("want", f"gone again {address}")
        expect(here).to_contain_text("Gone")
        here.get_by_role("button", name=f"Forget {address}").click()
        expect(here).to_have_count(0)
        say("saw", f"{address} forgotten")
        check(page.evaluate("window.neverReloaded === true"), "the page was loaded again")


run(scenario)
