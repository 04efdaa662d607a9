"""Escape stops wherever the focus is, also under a finger that goes on moving; the page says where a key does not reach.

    escape.py URL [ADDRESS]

The gateway has a ready device of this address whose first output goes from 0 upwards. The
device must be at rest after each "stopped".
"""

from common import argument, browser, check, expect, open_try, opened, outcome, run, say


def scenario():
    address = argument(2, "page-1")
    with browser() as chromium, opened(chromium) as page:
        expect(page.get_by_text("works only while this page has the focus").first).to_be_visible()
        expect(page.get_by_text("wsdm-gateway stop").first).to_be_visible()

        slider = open_try(page, address)
        slider.focus()
        slider.press("End")
        expect(slider).to_have_attribute("aria-valuetext", f"{slider.get_attribute('max')} of {slider.get_attribute('max')}")
        say("drove", slider.get_attribute("max"))
        slider.press("Escape")
        expect(outcome(page)).to_contain_text("Stopped")
        expect(slider).to_have_value("0")
        say("stopped", "from the slider")

        box = slider.bounding_box()
        middle = box["y"] + box["height"] / 2
        page.mouse.move(box["x"] + 12, middle)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] * 0.6, middle, steps=20)
        say("drove", slider.input_value())
        page.keyboard.press("Escape")
        expect(slider).to_have_attribute("aria-valuetext", "not set here")
        page.mouse.move(box["x"] + box["width"] * 0.9, middle, steps=20)
        check(slider.get_attribute("aria-valuetext") == "not set here", "a slider under a finger went on driving after stop")
        page.mouse.up()
        expect(slider).to_have_value("0")
        say("stopped", "under a finger")

        field = page.get_by_label("Filter frames by text or hex")
        field.fill("abc")
        with page.expect_request(lambda request: request.url.endswith("/api/stop")) as asked:
            field.press("Escape")
        check(asked.value.method == "POST", "stop was not a POST")
        say("stopped", "from a text field")


run(scenario)
