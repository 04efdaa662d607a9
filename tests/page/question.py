"""A web page that was never seen is asked about; the answers hold, and can be taken back; apps are blocked.

    question.py URL

The gateway asks about web pages. At "want: app ORIGIN" the starter connects a Buttplug app from a page of this origin, and
at "want: refused ORIGIN" one that will be refused.
"""

import pathlib

from common import DESKTOP, PHONE, browser, check, expect, opened, outcome, run, say, stop_button

AXE = pathlib.Path(__file__).with_name("axe.min.js").read_text(encoding="utf-8")
ONCE = "https://once.example"
ALWAYS = "https://always.example"
NEVER = "https://never.example"


def question(page, origin):
    return page.get_by_role("alertdialog", name=f"{origin} wants to control your devices")


def answer(page, origin, label):
    question(page, origin).get_by_role("button", name=label).click()
    expect(question(page, origin)).to_have_count(0)
    say("saw", f"{label} for {origin}")


def no_complaints(page, where):
    page.evaluate(AXE)
    found = page.evaluate("axe.run().then((r) => r.violations.map((v) => `${v.id}: ${v.help} at ${v.nodes.map((n) => n.html).slice(0, 3).join(' ')}`))")
    check(not found, f"axe in {where}: {' | '.join(found)}")


def remembered(page, origin):
    return page.get_by_role("list", name="Remembered web pages").get_by_role("listitem").filter(has_text=origin)


def apps(page, origin):
    return page.get_by_role("list", name="Connected apps").get_by_role("listitem").filter(has_text=origin)


def scenario():
    with browser() as chromium:
        say("want", f"app {ONCE}")
        for size, scheme in ((PHONE, "dark"), (DESKTOP, "light")):
            with opened(chromium, size=size, scheme=scheme) as page:
                expect(question(page, ONCE).get_by_role("button", name="Once")).to_be_enabled()
                no_complaints(page, f"a question, {scheme}, {size['width']} px")
                check(page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "the page scrolls sideways")
                check(page.evaluate("document.activeElement === document.body"), "the question took the focus")
                # Not covered by the question: a click reaches it.
                stop_button(page).click()
                expect(outcome(page)).to_contain_text("Stopped")
        with opened(chromium, "#/apps") as page:
            answer(page, ONCE, "Once")
            expect(apps(page, ONCE)).to_have_count(1)
            expect(remembered(page, ONCE)).to_have_count(0)

            say("want", f"app {ALWAYS}")
            answer(page, ALWAYS, "Always")
            expect(remembered(page, ALWAYS)).to_contain_text("always admitted")
            expect(apps(page, ALWAYS)).to_have_count(1)
            say("want", f"app {ALWAYS}")
            expect(apps(page, ALWAYS)).to_have_count(2)
            expect(page.get_by_role("alertdialog")).to_have_count(0)

            say("want", f"refused {NEVER}")
            answer(page, NEVER, "Never")
            expect(remembered(page, NEVER)).to_contain_text("blocked")
            expect(apps(page, NEVER)).to_have_count(0)

            page.get_by_role("button", name=f"Block {ONCE}").click()
            expect(apps(page, ONCE)).to_have_count(0)
            expect(remembered(page, ONCE)).to_contain_text("blocked")
            no_complaints(page, "the remembered web pages")
            page.get_by_role("button", name=f"Remove {ONCE}").click()
            expect(remembered(page, ONCE)).to_have_count(0)
            expect(remembered(page, ALWAYS)).to_have_count(1)
            say("saw", "a block, taken back")


run(scenario)
