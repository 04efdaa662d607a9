// The live socket: everything the page shows comes from here. A snapshot first, then changes; a signal per device, so
// that a change redraws the cells of that device and nothing else.

import { batch, computed, signal } from "@preact/signals";
import { nameOrder } from "./format.js";
import { admitted, loggedOut, sessionEnded } from "./session.js";

/** "connecting" until the first snapshot, then "up", or "lost" while the gateway cannot be reached. */
export const connection = signal("connecting");
export const connected = computed(() => connection.value === "up");
/** When the next try to connect is due, in milliseconds since 1970. */
export const nextTry = signal(null);
export const gateway = signal(null);
export const apps = signal([]);
/** Web pages that want to be apps, and wait for an answer; and those that were answered for good. */
export const questions = signal([]);
export const origins = signal([]);
/** Why the newest configuration files are not in force; empty if they are. */
export const problems = signal([]);
/** The fleet, while a view shows it; null until the gateway told of it. */
export const fleet = signal(null);
/** One entry a device, in the order in which they are shown. New ones are added at the end: rows never jump. */
export const entries = signal([]);
/** Seconds since 1970, once a second. */
export const now = signal(Date.now() / 1000);

const byAddress = new Map();
let serial = 0;

export const entryOf = (address) => byAddress.get(address);

const FIRST_RETRY = 500;
const LAST_RETRY = 5000;
/** The code with which the gateway closes the socket when the session has ended. */
const LOGGED_OUT = 4401;

let socket = null;
/** The gateway is being asked whether a session is needed. */
let asking = false;
let retryAfter = FIRST_RETRY;
let retryTimer = null;
/** The watched device and who takes its lines. */
let watched = null;
/** The port that is heard, and who takes what its board says. */
let heard = null;
/** A view shows the fleet. */
let showsFleet = false;
let nextSend = 1;
const sends = new Map();

/** Opens the socket, and again whenever it was lost. */
export function start() {
  setInterval(() => (now.value = Date.now() / 1000), 1000);
  // A phone that wakes up or finds its network again should not wait for the timer.
  addEventListener("online", retryNow);
  addEventListener("offline", () => socket?.close());
  document.addEventListener("visibilitychange", () => document.hidden || retryNow());
  connect();
}

export function retryNow() {
  if (socket === null) connect();
}

/** Tells this tab from others, to the gateway: its websockets belong together. */
export const tab = Array.from(crypto.getRandomValues(new Uint8Array(8)), (byte) => byte.toString(16).padStart(2, "0")).join("");

async function connect() {
  if (asking) return;
  asking = true;
  clearTimeout(retryTimer);
  nextTry.value = null;
  // A browser does not say why it got no websocket, so the question comes first.
  const mayGoOn = await admitted().catch(() => false);
  asking = false;
  if (!mayGoOn) return lost();
  const mine = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/api/live?tab=${tab}`);
  socket = mine;
  mine.onmessage = (event) => socket === mine && receive(JSON.parse(event.data));
  mine.onclose = (event) => {
    if (socket !== mine) return;
    if (event.code === LOGGED_OUT) sessionEnded();
    lost();
  };
}

function lost() {
  socket = null;
  // Without a session there is nothing to try until somebody logs in, which calls `retryNow`.
  const retries = !loggedOut.value;
  batch(() => {
    connection.value = retries ? "lost" : "connecting";
    now.value = Date.now() / 1000;
    nextTry.value = retries ? Date.now() + retryAfter : null;
  });
  for (const resolve of sends.values()) resolve("The connection to the gateway was lost.");
  sends.clear();
  watched?.lost();
  heard?.handler.lost();
  heard = null;
  if (!retries) return;
  retryTimer = setTimeout(connect, retryAfter);
  retryAfter = Math.min(retryAfter * 2, LAST_RETRY);
}

function receive(message) {
  // Asked for while this tab drives something, and answered from here: no timer of a page in the background is as regular.
  if (message === "ping") tell("alive");
  else if (message.snapshot) takeSnapshot(message.snapshot);
  else if (message.change) takeChange(message.change);
  else if (message.frames) {
    if (watched && watched.address === message.frames.address) watched.lines(message.frames.lines);
  } else if (message.fleet) {
    if (showsFleet) fleet.value = message.fleet;
  } else if (message.listening) {
    if (heard?.port === message.listening.port) heard.handler.listening(message.listening);
  } else if (message.heard) {
    if (heard?.port === message.heard.port) heard.handler.heard(message.heard);
  } else if (message.sent) {
    sends.get(message.sent.id)?.(message.sent.error);
    sends.delete(message.sent.id);
  }
}

function takeSnapshot(snapshot) {
  batch(() => {
    gateway.value = snapshot.gateway;
    apps.value = snapshot.apps;
    questions.value = snapshot.questions;
    origins.value = snapshot.origins;
    problems.value = snapshot.problems;
    const present = new Set(snapshot.devices.map((device) => device.address));
    remove([...byAddress.keys()].filter((address) => !present.has(address)));
    // Only the first snapshot decides the order; one that replaces it later leaves the rows where they are.
    put(snapshot.devices.toSorted((a, b) => nameOrder(a.address, b.address)));
    if (connection.value !== "up") {
      connection.value = "up";
      retryAfter = FIRST_RETRY;
      if (watched) tell({ watch: watched.address });
      if (showsFleet) tell({ fleet: true });
    }
  });
}

function takeChange(change) {
  batch(() => {
    if (change.forgotten) remove(change.forgotten);
    if (change.devices) put(change.devices);
    if (change.apps) apps.value = change.apps;
    if (change.questions) questions.value = change.questions;
    if (change.origins) origins.value = change.origins;
    if (change.problems) problems.value = change.problems;
  });
}

function put(devices) {
  const added = [];
  for (const device of devices) {
    const entry = byAddress.get(device.address);
    if (entry) entry.device.value = device;
    else {
      const fresh = { key: ++serial, address: device.address, device: signal(device), rate: signal(null), rates: [], total: null };
      byAddress.set(device.address, fresh);
      added.push(fresh);
    }
  }
  if (added.length) entries.value = [...entries.value, ...added];
}

function remove(addresses) {
  const gone = new Set(addresses.filter((address) => byAddress.delete(address)));
  if (gone.size) entries.value = entries.value.filter((entry) => !gone.has(entry.address));
}

function tell(message) {
  if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
}

/** Watches one device in place of any other: `lines(list)` takes its frames, `lost()` learns of a break. Returns how to end it. */
export function watch(address, lines, lost) {
  const mine = { address, lines, lost };
  watched = mine;
  tell({ watch: address });
  return () => {
    if (watched !== mine) return;
    watched = null;
    tell({ watch: null });
  };
}

/** Whether a view shows the fleet: only then the gateway looks at it. */
export function showFleet(shows) {
  showsFleet = shows;
  if (!shows) fleet.value = null;
  tell({ fleet: shows });
}

/** Sends one frame to the device, or as if the device had sent it. Resolves to null, or to why it was not sent. */
export function sendFrame(address, hex, as) {
  if (!connected.value) return Promise.resolve("There is no connection to the gateway.");
  const id = nextSend++;
  return new Promise((resolve) => {
    sends.set(id, resolve);
    tell({ send: { id, address, hex, as } });
  });
}

/** Hears what the board on a serial port says, in place of any other; on the same port, at another baud rate. Without a port, ends what this handler began. */
export function listen(port, baud, handler) {
  if (port === null) {
    if (heard?.handler !== handler) return;
    heard = null;
    tell({ listen: null });
    return;
  }
  heard = { port, handler };
  tell({ listen: { port, baud_rate: baud } });
}

/** Closes the port that is heard, if any, for somebody else to open it. */
export function endListening() {
  if (!heard) return;
  const { handler } = heard;
  listen(null, 0, handler);
  handler.ended();
}

/** Writes to the port that is heard. Resolves to null, or to why it was not written. */
export function say(hex) {
  if (!connected.value) return Promise.resolve("There is no connection to the gateway.");
  const id = nextSend++;
  return new Promise((resolve) => {
    sends.set(id, resolve);
    tell({ say: { id, hex } });
  });
}
