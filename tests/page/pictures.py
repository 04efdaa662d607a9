"""Pictures of the main states, for people to look at.

    pictures.py URL LOGIN_URL FOLDER ADDRESS REFUSED APP BRIDGED

The gateway has a ready device of ADDRESS, which APP drives, and refused a device of address REFUSED. At "want: board" the
starter plugs in the board of address BRIDGED, which gateway.toml bridges. There is a further serial port, which is not
bridged. LOGIN_URL is the page of a gateway with a password.
"""

import pathlib
import re
import sys
from urllib.parse import quote

from common import DESKTOP, PHONE, browser, expect, opened, row, run, say

LOGIN_URL, FOLDER, ADDRESS, REFUSED, APP, BRIDGED = sys.argv[2], pathlib.Path(sys.argv[3]), *sys.argv[4:8]
# What README.md shows.
README = {"width": 1180, "height": 560}


def take(page, name, size, scheme):
    picture = FOLDER / f"{name}-{size['width']}-{scheme}.png"
    page.screenshot(path=picture, animations="disabled")
    say("saw", picture.name)


def devices(page):
    expect(row(page, ADDRESS)).to_contain_text(APP)
    expect(row(page, REFUSED).get_by_role("button", name=re.compile("^Add as"))).to_be_enabled()


def all_devices(page):
    devices(page)
    expect(row(page, BRIDGED)).to_contain_text("Ready")


def refused(page):
    all_devices(page)
    row(page, REFUSED).evaluate("(row) => row.scrollIntoView({ block: 'center' })")


def try_it(page):
    slider = page.get_by_role("slider").first
    expect(slider).to_be_enabled()
    slider.focus()
    for _ in range(12):
        slider.press("ArrowRight")
    expect(page.get_by_text("You drive this device from this page.")).to_be_visible()
    expect(page.get_by_text(re.compile("answered in"))).to_be_visible()


def watch(page):
    form = page.get_by_role("form", name="Send a frame")
    expect(page.get_by_role("log", name="Frames")).to_contain_text("The device is connected.")
    for frame in ("Vibrate:3;", "Battery;", "Vibrate:0;"):
        form.get_by_label("Frame to send").fill(frame)
        form.get_by_label("Frame to send").press("Enter")
        expect(page.get_by_role("log", name="Frames")).to_contain_text(frame)


def configure(page):
    expect(page.get_by_role("slider").first).to_be_enabled()


def boards(page):
    expect(page.get_by_role("form", name=re.compile("^Bridge"))).to_be_visible()
    expect(page.get_by_role("list", name="Entries").get_by_role("listitem")).to_have_count(1)


def apps(page):
    expect(page.get_by_role("listitem").filter(has_text=APP)).to_be_visible()


def login(page):
    expect(page.get_by_role("heading", name="Log in", level=1)).to_be_visible()


def scenario():
    place = quote(ADDRESS, safe="")
    states = [
        ("devices", "#/devices", all_devices),
        ("refused", "#/devices", refused),
        ("apps", "#/apps", apps),
        ("boards", "#/boards", boards),
        ("configure", f"#/device/{place}/configure", configure),
        # These take the device from the app.
        ("watch", f"#/device/{place}/watch", watch),
        ("try", f"#/device/{place}/try", try_it),
    ]
    with browser() as chromium:
        with opened(chromium, size=README) as page:
            devices(page)
            # The rates of some seconds.
            expect(row(page, ADDRESS).get_by_text("0/s")).to_be_visible()
            take(page, "readme", README, "light")
        say("want", "board")
        for name, fragment, show in states:
            for size, scheme in ((DESKTOP, "light"), (PHONE, "dark")):
                with opened(chromium, fragment, size=size, scheme=scheme, is_mobile=size is PHONE, has_touch=size is PHONE) as page:
                    show(page)
                    take(page, name, size, scheme)
        for size, scheme in ((DESKTOP, "light"), (PHONE, "dark")):
            with opened(chromium, size=size, scheme=scheme, at=LOGIN_URL) as page:
                login(page)
                take(page, "login", size, scheme)


run(scenario)
