"""A board that is connected and has not said yet what it is: its row, and its stop.

    identifying.py URL ADDRESS

The gateway shows such a board under this address. "stopped: ..." is the answer to its stop.
"""

import re

from common import argument, browser, expect, opened, outcome, row, run, say


def scenario():
    address = argument(2, "")
    with browser() as chromium, opened(chromium) as page:
        board = row(page, address)
        expect(board).to_contain_text("Identifying")
        expect(board).to_contain_text("Serial")
        expect(board.get_by_role("link")).to_have_count(0)
        board.get_by_role("button", name=f"Stop {address}").click()
        expect(outcome(page)).to_contain_text("Stopped 1 device.")
        say("stopped", outcome(page).inner_text())
        # The reason why it takes so long, and what to do about it.
        expect(board).to_contain_text(re.compile("no hello line", re.IGNORECASE))


run(scenario)
