"""A board without firmware: the commands for it, fit for this gateway, and the boards that appear meanwhile.

    newboard.py URL OTHER ADDRESS STRANGER PORT

The gateway at URL listens for devices on loopback and announces itself; there is one ready device, and a port named PORT with the
USB of an ESP32-C3. The gateway at OTHER listens on the network, does not announce itself, and has a token. "want: device"
asks for a device of ADDRESS, "want: stranger" for one of STRANGER that is refused, and "want: gone" has the first leave. Each
"command: ..." is a line that people are told to run, each "file: ..." one that they are told to read.
"""

import re
import sys

from common import DESKTOP, PHONE, argument, browser, check, expect, no_complaints, opened, picture, press, run, say

ADDRESS, STRANGER, PORT = sys.argv[3:6]
TITLE = "A new ESP32-C3 or C6"


def steps(page):
    return page.get_by_role("region", name=TITLE)


def commands(page):
    """What the buttons copy."""
    buttons = steps(page).get_by_role("button", name=re.compile("^Copy "))
    expect(buttons.first).to_be_visible()
    found = [button.get_attribute("aria-label").removeprefix("Copy ") for button in buttons.all()]
    for line in "\n".join(found).splitlines():
        say("command", line)
    return found


def expect_heading(page):
    heading = steps(page).get_by_role("heading", name=TITLE)
    expect(heading).to_be_focused()
    expect(heading).to_be_in_viewport(ratio=1)
    top = page.get_by_role("banner").bounding_box()
    check(heading.bounding_box()["y"] >= top["y"] + top["height"], "the heading is under the bar")


def follow(chromium, by_keyboard):
    with opened(chromium, permissions=["clipboard-read", "clipboard-write"]) as page:
        press(page, page.get_by_role("main").get_by_role("link", name=f"{TITLE}…"), by_keyboard)
        expect_heading(page)
        copy = steps(page).get_by_role("button", name="Copy wsdm-gateway flash", exact=True)
        press(page, copy, by_keyboard)
        expect(steps(page).get_by_text("Copied.")).to_be_visible()
        check(page.evaluate("navigator.clipboard.readText()") == "wsdm-gateway flash", "something else was copied")
        # From the port of the board, too, each time.
        port = page.get_by_role("list", name="Serial ports").get_by_role("listitem").filter(has_text=PORT)
        for _ in range(2):
            press(page, port.get_by_role("link", name="write its firmware"), by_keyboard)
            expect_heading(page)
    say("saw", "every way to the steps")


def appear(chromium):
    with opened(chromium, "#/boards/new") as page:
        expect_heading(page)
        for file in re.findall(r"[\w/-]+\.md", steps(page).inner_text()):
            say("file", file if "/" in file else f"firmware/docs/boards/{file}")
        port = re.search(r"Devices connect to \S+:(\d+)", page.get_by_role("contentinfo").inner_text())[1]
        found = commands(page)
        check(found[0] == f"wsdm-gateway run --device-listen 0.0.0.0:{port}", f"boards are let in by {found[0]}")
        check("firmware/build all" in found[1], f"the firmware is made by {found[1]}")
        check(found[2] == "wsdm-gateway flash", f"the board is flashed by {found[2]}")
        expect(steps(page)).to_contain_text(f"--gateway ADDRESS:{port}")
        expect(steps(page)).not_to_contain_text("for the token")
        news = page.get_by_role("status", name="New boards")
        expect(news).to_have_text("None yet.")
        no_complaints(page, "the steps")
        say("want", "device")
        expect(news).to_contain_text("A board has appeared: Lovense Hush")
        expect(news).to_contain_text(ADDRESS)
        say("want", "stranger")
        expect(news).to_contain_text(f"A board was refused: NoSuchName {STRANGER}")
        expect(news.get_by_role("link")).to_have_count(2)
        picture(page, "newboard")
        no_complaints(page, "the boards that appeared")
        say("want", "gone")
        expect(news).not_to_contain_text(ADDRESS)
        say("want", "device")
        news.get_by_role("link", name=f"Try it: Lovense Hush, {ADDRESS}").click()
        expect(page.get_by_role("slider").first).to_be_enabled()
        # What was there before is no news.
        page.get_by_role("link", name=re.compile("^Boards")).click()
        expect(news).to_have_text("None yet.")
    say("saw", "the boards that appeared")


def other(chromium, at):
    with opened(chromium, "#/boards/new", size=PHONE, at=at, has_touch=True, is_mobile=True) as page:
        found = commands(page)
        check(all("--device-listen" not in text for text in found), f"the gateway is reachable already: {found}")
        flash = re.fullmatch(r"wsdm-gateway flash --gateway ADDRESS:\d+ --fingerprint [0-9a-f]{64}", found[1])
        check(flash, f"the board is flashed by {found[1]}")
        check(found[2].startswith(f"{flash[0]} --device tcode"), f"a stroker is flashed by {found[2]}")
        expect(steps(page)).to_contain_text("for the token: that of this gateway")
        expect(steps(page)).to_contain_text("it speaks TLS, and to no other gateway")
        expect(steps(page)).to_contain_text(f"set fingerprint {flash[0].split()[-1]}")
        expect(steps(page)).to_contain_text("ADDRESS is that of the gateway's computer")
        picture(page, "newboard-other")
        no_complaints(page, "the steps on a phone")
    say("saw", "another gateway")


def scenario():
    with browser() as chromium:
        for by_keyboard in (False, True):
            follow(chromium, by_keyboard)
        appear(chromium)
        other(chromium, argument(2, ""))


run(scenario)
