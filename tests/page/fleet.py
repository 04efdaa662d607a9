"""The fleet: a hub shows an edge, its board and who owns it, an edge shows its hub; the stop of the whole fleet brings the board to rest.

    fleet.py URL EDGE_URL ADDRESS EDGE HUB

URL is the page of a hub, EDGE_URL that of its edge, which has the board of this address. At "want: drive" the board must be
driven by an app of the hub, and after "stopped: ..." it must be at rest. At "want: gone" the edge ends.
"""

import re
import sys
import time

from common import PATIENCE, PHONE, browser, check, expect, no_complaints, opened, outcome, picture, press, run, say

EDGE_URL, ADDRESS, EDGE, HUB = sys.argv[2:6]


def stop(page, where, keys):
    say("want", "drive")
    due = time.monotonic() + PATIENCE / 1000
    while not page.request.get(f"{EDGE_URL}/api/devices/{ADDRESS}").json()["outputs_on"]:
        check(time.monotonic() < due, "the board is not driven")
        time.sleep(0.02)
    press(page, page.get_by_role("button", name="Stop the whole fleet"), keys)
    expect(outcome(page)).to_contain_text({"at the hub": "Stopped the fleet: 1 edge", "at the edge": "The broker passed the stop on"}[where])
    say("stopped", where)


def board_of(page, owner):
    board = page.get_by_role("list", name=f"Devices of {EDGE}").get_by_role("listitem").filter(has_text=ADDRESS)
    expect(board).to_contain_text(owner)
    return board


def scenario():
    with browser() as chromium:
        with opened(chromium) as page:
            page.get_by_role("link", name="Fleet", exact=True).click()
            expect(page.get_by_role("heading", name=f"Hub {HUB}")).to_be_visible()
            expect(page.get_by_text("Connected", exact=True)).to_be_visible()
            edge = page.get_by_role("list", name="Edges").get_by_role("listitem").filter(has_text=EDGE).first
            expect(edge).to_contain_text("There")
            expect(edge).to_contain_text(re.compile(r"last beat \d\.\d s ago, 1 device"))
            expect(board_of(page, HUB).get_by_role("link", name=ADDRESS)).to_be_visible()
            picture(page, "fleet")
            no_complaints(page, "the fleet of a hub")
            stop(page, "at the hub", False)
            # It is claimed again.
            board_of(page, HUB)
        with opened(chromium, "#/fleet", size=PHONE) as page:
            board_of(page, HUB)
            picture(page, "fleet")
            no_complaints(page, "the fleet of a hub, on a phone")
            box = page.get_by_role("link", name="Fleet", exact=True).bounding_box()
            check(box["x"] + box["width"] <= PHONE["width"], f"the last view is cut off: {box}")
        with opened(chromium, "#/fleet", at=EDGE_URL) as page:
            expect(page.get_by_role("heading", name=f"Edge {EDGE}")).to_be_visible()
            hub = page.get_by_role("list", name="Hubs").get_by_role("listitem").filter(has_text=HUB)
            expect(hub).to_contain_text("Lease lives")
            expect(hub).to_contain_text(re.compile(r"renewed \d\.\d s ago, owns 1 device"))
            board_of(page, HUB)
            no_complaints(page, "the fleet of an edge")
            stop(page, "at the edge", True)
        with opened(chromium, "#/fleet") as page:
            edge = page.get_by_role("list", name="Edges").get_by_role("listitem").filter(has_text=EDGE).first
            expect(edge).to_contain_text("There")
            say("want", "gone")
            # Without a reload.
            expect(edge).to_contain_text("Gone")
            expect(page.get_by_role("list", name=f"Devices of {EDGE}")).to_have_count(0)
            no_complaints(page, "an edge that is gone")


run(scenario)
