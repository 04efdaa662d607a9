"""A refused device is added to the UDCF by a button in its row; a simulated device gets a name and limits.

    configure.py URL [ADDRESS] [NAME]

The gateway refused a device of this address, which called itself NAME.
"""

from common import PHONE, argument, browser, check, expect, opened, row, run, say


def scenario():
    address = argument(2, "new")
    name = argument(3, "ESP32Vibe")
    with browser() as chromium:
        with opened(chromium, size=PHONE, has_touch=True, is_mobile=True) as page:
            expect(row(page, address).get_by_label(f"Add {name} as", exact=True)).to_be_visible()
            wide = page.evaluate("document.documentElement.scrollWidth")
            check(wide <= PHONE["width"], f"the offer is {wide} px wide on a phone")
        with opened(chromium) as page:
            here = row(page, address)
            protocol = here.get_by_label(f"Add {name} as", exact=True)
            expect(protocol).to_have_value("lovense")
            protocol.focus()
            # The whole list comes once it is used.
            expect(protocol.get_by_role("group", name="All").locator("option", has_text="we-vibe").first).to_be_attached()
            protocol.select_option("tcode-v03")
            expect(here.get_by_text("HwPositionWithDuration")).to_be_visible()
            protocol.select_option("lovense")
            here.get_by_role("button", name=f"Add {name} as lovense").click()
            done = here.get_by_role("status")
            expect(done).to_contain_text(f"Added {name} as lovense.")
            expect(done).to_contain_text("udcf.json")
            say("added", done.inner_text().replace("\n", " "))


run(scenario)
