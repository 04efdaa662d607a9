"""On a phone: no view is wider than the screen, devices are cards, and stop is at the bottom edge with nothing under it.

    phone.py URL [ADDRESS]

The gateway has a ready device of this address.
"""

import re
from urllib.parse import quote

from common import PHONE, argument, browser, check, expect, opened, row, run, say, stop_button


def scenario():
    address = argument(2, "page-1")
    place = quote(address, safe="")
    views = {"devices": "#/devices", "try it": f"#/device/{place}/try", "watch": f"#/device/{place}/watch", "configure": f"#/device/{place}/configure", "apps": "#/apps", "boards": "#/boards"}
    with browser() as chromium:
        for width in (PHONE["width"], 320):
            size = {"width": width, "height": PHONE["height"]}
            for name, fragment in views.items():
                with opened(chromium, fragment, size=size, has_touch=True, is_mobile=True) as page:
                    # The last view of the bar is in sight.
                    expect(page.get_by_role("link", name=re.compile("^Boards"))).to_be_in_viewport(ratio=1)
                    if name == "devices":
                        expect(row(page, address)).to_be_visible()
                        expect(page.get_by_role("columnheader", name="Frames")).not_to_be_in_viewport()
                    if name in ("try it", "configure"):
                        expect(page.get_by_role("slider").first).to_be_enabled()
                    wide = page.evaluate("document.documentElement.scrollWidth")
                    check(wide <= width, f"{name} is {wide} px wide on a screen of {width} px")
                    for link in page.get_by_role("navigation", name="Views").get_by_role("link").all():
                        expect(link).to_be_in_viewport(ratio=1)
                    stop = stop_button(page)
                    expect(stop).to_be_in_viewport(ratio=1)
                    box = stop.bounding_box()
                    check(box["y"] + box["height"] > size["height"] - 40, f"{name}: stop is not at the bottom edge: {box}")
                    check(box["height"] >= 48 and box["width"] >= width * 0.8, f"{name}: stop is small: {box}")
                    # Scrolled to the end, nothing that can be pressed is under the stop bar or close to it.
                    page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
                    low = page.evaluate(
                        """() => Math.max(0, ...[...document.querySelectorAll('main a, main button, main input, main select')]
                            .map((e) => e.getBoundingClientRect().bottom))"""
                    )
                    check(low < box["y"] - 16, f"{name}: a control ends at {low}, stop begins at {box['y']}")
                    stop.tap()
                    expect(page.get_by_role("status", name="Result of stop")).to_contain_text(re.compile("Stopped|Nothing"))
                    expect(stop).to_be_in_viewport(ratio=1)
                    say("saw", f"{name} at {width} px")


run(scenario)
