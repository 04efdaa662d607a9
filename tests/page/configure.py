"""A refused device is added to the UDCF by a button in its row; a simulated device gets a name and limits.

    configure.py URL [ADDRESS] [NAME]

The gateway refused a device of this address, which called itself NAME.
"""

import pathlib
import re

from common import PHONE, argument, browser, check, expect, opened, row, run, say

AXE = pathlib.Path(__file__).with_name("axe.min.js").read_text(encoding="utf-8")


def scenario():
    address = argument(2, "new")
    name = argument(3, "ESP32Vibe")
    with browser() as chromium:
        with opened(chromium, size=PHONE, has_touch=True, is_mobile=True) as page:
            expect(row(page, address).get_by_label(f"Protocol of {name}")).to_be_visible()
            wide = page.evaluate("document.documentElement.scrollWidth")
            check(wide <= PHONE["width"], f"the offer is {wide} px wide on a phone")
        with opened(chromium) as page:
            here = row(page, address)
            protocol = here.get_by_label(f"Protocol of {name}")
            expect(protocol).to_have_value("lovense")
            protocol.focus()
            # The whole list comes once it is used.
            expect(protocol.locator("option", has_text="vorze-sa").first).to_be_attached()
            protocol.select_option("tcode-v03")
            expect(here.get_by_text("HwPositionWithDuration")).to_be_visible()
            protocol.select_option("lovense")
            here.get_by_role("button", name=f"Add as lovense: {name}").click()
            done = here.get_by_role("status")
            expect(done).to_contain_text(f"Added {name} as lovense.")
            expect(done).to_contain_text("udcf.json")
            say("added", done.inner_text().replace("\n", " "))

            page.get_by_role("button", name="Simulate it").click()
            page.get_by_role("link", name=re.compile("^Try it: Lovense Hush")).click()
            page.get_by_role("link", name="Configure").click()
            save = page.get_by_role("button", name="Save")
            expect(save).to_be_disabled()
            page.get_by_label("Name", exact=True).click()
            page.keyboard.type("Bench <b>Hush")
            highest = page.get_by_role("slider", name="Highest: Vibrate")
            box = highest.bounding_box()
            page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
            expect(highest).to_have_attribute("aria-valuetext", "10 of 20, 50 %")
            # The ends do not cross.
            lowest = page.get_by_role("slider", name="Lowest: Vibrate")
            lowest.focus()
            lowest.press("End")
            expect(lowest).to_have_attribute("aria-valuetext", "9 of 20, 45 %")
            lowest.press("Home")
            for _ in range(3):
                lowest.press("ArrowRight")
            page.evaluate(AXE)
            found = page.evaluate("axe.run().then((r) => r.violations.map((v) => `${v.id}: ${v.nodes.map((n) => n.html).slice(0, 3).join(' ')}`))")
            check(not found, f"axe: {' | '.join(found)}")
            save.click()
            expect(page.get_by_text("Saved to")).to_contain_text("udcf.json")
            expect(save).to_be_disabled()
            say("configured", page.url.split("/")[-2])

            page.get_by_role("link", name="All devices").click()
            page.get_by_label("No board at hand?").select_option("tcode")
            page.get_by_role("button", name="Simulate it").click()
            page.get_by_role("link", name=re.compile("^Try it: TCode")).click()
            page.get_by_role("link", name="Configure").click()
            axes = page.get_by_role("form", name=re.compile("Axes of every"))
            expect(axes.get_by_role("checkbox", name="L0")).to_be_checked()
            axes.get_by_role("checkbox", name="A0").check()
            expect(axes.get_by_label("Description of A0")).to_have_value("Valve")
            axes.get_by_role("button", name="Save the axes").click()
            expect(axes.get_by_text("Saved to")).to_contain_text("udcf.json")
            page.set_viewport_size(PHONE)
            wide = page.evaluate("document.documentElement.scrollWidth")
            check(wide <= PHONE["width"], f"the settings are {wide} px wide on a phone")
            say("saw", "the axes saved")


run(scenario)
