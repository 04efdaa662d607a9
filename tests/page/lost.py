"""A lost gateway: one banner, controls off, stop still tried and honest about it; all well again by itself.

    lost.py URL [ADDRESS]

The gateway has a ready device of this address. The starter ends the gateway at "want: down" and starts it again on the
same port, with the device, at "want: up".
"""

from common import argument, browser, check, expect, open_try, opened, outcome, run, say, stop_button

# What a browser says of a server that is not there.
ABSENT = ["ERR_CONNECTION_REFUSED", "ERR_CONNECTION_RESET", "ERR_EMPTY_RESPONSE", "WebSocket connection to"]


def scenario():
    address = argument(2, "page-1")
    with browser() as chromium, opened(chromium, ignore=ABSENT) as page:
        slider = open_try(page, address)
        say("want", "down")
        banner = page.get_by_role("alert").filter(has_text="No connection to the gateway.")
        expect(banner).to_be_visible()
        check(banner.count() == 1, "there is more than one banner")
        expect(page.get_by_role("slider")).to_have_count(0)
        expect(page.get_by_role("button", name="Send")).to_be_disabled()
        expect(stop_button(page)).to_be_enabled()
        stop_button(page).click()
        expect(outcome(page)).to_contain_text("Not stopped: the gateway does not answer.")
        say("saw", "the banner, and a stop that was tried")
        say("want", "up")
        expect(banner).to_have_count(0)
        expect(slider).to_be_enabled()
        stop_button(page).click()
        expect(outcome(page)).to_contain_text("Stopped")
        say("saw", "everything back without a reload")


run(scenario)
