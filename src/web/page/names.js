// What things are called on the page.

import { apps } from "./live.js";

export const STATES = {
  identifying: "Identifying",
  connecting: "Connecting",
  ready: "Ready",
  relayed: "Relayed",
  gone: "Gone",
  refused: "Refused",
};

const WAYS = { ws: "WebSocket", serial: "Serial", ble: "Bluetooth LE", dial: "Dialled" };
// Of a device of the fleet, the way is a text of a stranger.
export const wayName = (way) => (Object.hasOwn(WAYS, way) ? WAYS[way] : way);
/** The peer without the way that stands beside it: "serial /dev/ttyUSB0" → "/dev/ttyUSB0" */
export const peerName = (device) => device.peer.replace(/^(serial|ble|bluetooth|ws|websocket|dial) /i, "");

export const isPresent = (device) => device.state !== "gone" && device.state !== "refused";

export const deviceName = (device) => device.name || device.identifier || device.address;

/** The name under which this tab is a Buttplug client: it tells this tab from another. */
export const pageClientName = `Gateway page ${Math.random().toString(36).slice(2, 6)}`;

/** Whether this tab is the one that drives. */
export function isThisPage(driver) {
  if (driver?.kind !== "page") return false;
  const own = apps.value.find((app) => app.is_page && app.name === pageClientName);
  return own ? own.id === driver.id : driver.name === pageClientName;
}

/** Who drives, in a word or two. */
export function driverName(driver) {
  if (!driver) return null;
  if (driver.kind === "page") return isThisPage(driver) ? "This page" : "Another page";
  if (driver.kind === "monitor") return driver.name || "A monitor";
  return driver.name || "An app without a name";
}
