"""Reads discovery messages as Home Assistant does, with its own code.

A line of standard input is a JSON object with `topic` and `payload` of a discovery message and `states`, payloads by
topic. A line of standard output has the `errors` of Home Assistant, and the `components`: what each one reads in the
states. Home Assistant ignores keys that it does not know; here they are errors.
"""

import asyncio
import json
import logging
import sys
import tempfile
from unittest.mock import MagicMock

# For its paid cloud, which brings many packages along.
for absent in ("hass_nabucasa", "hass_nabucasa.remote"):
    sys.modules[absent] = MagicMock()

from homeassistant.components.mqtt import binary_sensor, button, discovery, number, sensor
from homeassistant.components.mqtt.models import MqttValueTemplate
from homeassistant.const import __version__
from homeassistant.core import HomeAssistant
from homeassistant.util import dt
import voluptuous

PLATFORMS = {"binary_sensor": binary_sensor, "button": button, "number": number, "sensor": sensor}
TEMPLATE = "value_template"


class Warnings(logging.Handler):
    """Keeps what is logged."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.texts = []

    def emit(self, record):
        self.texts.append(record.getMessage())


def dropped(before, after):
    """The keys that a schema left out."""
    return sorted(set(before) - set(after))


def render(template, payload):
    """What a template of an entity makes of a payload."""
    return MqttValueTemplate(template).async_render_with_possible_json_value(payload) if template else payload


def component(key, config, message, states, errors):
    """Checks one entity; returns what it reads."""
    config = dict(config)
    platform = PLATFORMS[config.pop("platform")]
    if not config:
        return {"deleted": True}
    merged = discovery.MQTTDiscoveryPayload(config)
    merged["device"] = message["device"]
    merged["origin"] = message["origin"]
    discovery._merge_common_device_options(merged, message)
    try:
        valid = platform.DISCOVERY_SCHEMA(dict(merged))
    except voluptuous.Invalid as error:
        errors.append(f"{key}: {error}")
        return None
    errors.extend(f"{key}: {name} is no key" for name in dropped(merged, set(valid) | {"origin"}))
    found = {"device_class": str(valid.get("device_class") or "")}
    if valid.get("state_topic") in states:
        value = render(valid.get(TEMPLATE), states[valid["state_topic"]])
        found["value"] = value
        if valid.get("device_class") == "timestamp" and value != "None" and dt.parse_datetime(value) is None:
            errors.append(f"{key}: {value!r} is no time")
    if "min" in valid:
        found["range"] = [valid["min"], valid["max"], valid["step"]]
    found["available"] = [
        render(one.get(TEMPLATE), states[one["topic"]]) == one["payload_available"]
        for one in valid.get("availability", [])
        if one["topic"] in states
    ]
    return found


def check(hass, line, warnings):
    """Checks one message."""
    topic, payload, states = line["topic"], line["payload"], line["states"]
    warnings.texts.clear()
    errors, components = [], {}
    match = discovery.TOPIC_MATCHER.fullmatch(topic.removeprefix("homeassistant/"))
    if not match or match.group("component") != "device":
        errors.append(f"{topic!r} is no topic of a device")
    message = discovery._parse_device_payload(hass, payload, "object", None)
    errors.extend(warnings.texts)
    if message:
        known = discovery.DEVICE_DISCOVERY_SCHEMA(dict(message))
        errors.extend(f"device: {name} is no key" for name in dropped(message["device"], known["device"]))
        for key, config in message["components"].items():
            components[key] = component(key, config, message, states, errors)
    return {"errors": errors, "components": components}


async def main():
    """Answers line by line."""
    warnings = Warnings()
    logging.getLogger("homeassistant").addHandler(warnings)
    logging.getLogger("homeassistant").propagate = False
    with tempfile.TemporaryDirectory() as folder:
        hass = HomeAssistant(folder)
        print(json.dumps({"version": __version__}), flush=True)
        for line in sys.stdin:
            print(json.dumps(check(hass, json.loads(line), warnings)), flush=True)
        await hass.async_stop(force=True)


asyncio.run(main())
