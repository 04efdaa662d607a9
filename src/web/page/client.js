// This tab as a Buttplug client of the gateway: one session for all that is tried, opened when something is first
// tried. When the tab goes, the session ends, and the gateway stops what it commanded last.

import { effect, signal } from "@preact/signals";
import { ButtplugBrowserWebsocketClientConnector, ButtplugClient } from "buttplug";
import { connected, tab } from "./live.js";
import { pageClientName } from "./names.js";

/** "off", "connecting", "up" or "failed" */
export const session = signal("off");
/** What the Buttplug server lists: index → device of the module. */
export const listed = signal(new Map());

const RETRY = 1000;

let client = null;
let wanted = false;
let retryTimer = null;
/** Rejects what still waits for an answer when the session ends: the module itself would leave it waiting for ever. */
let ended = null;

/** Opens the session, and again after each loss, for as long as the tab lives. */
export function openSession() {
  if (wanted) return;
  wanted = true;
  effect(() => {
    if (connected.value && client === null) connect();
  });
}

async function connect() {
  clearTimeout(retryTimer);
  const mine = new ButtplugClient(pageClientName);
  client = mine;
  session.value = "connecting";
  let fail;
  const over = new Promise((_, reject) => (fail = reject));
  over.catch(() => {});
  ended = over;
  const list = () => {
    if (client === mine && mine.connected) listed.value = mine.devices;
  };
  const lose = () => {
    fail(new Error("The Buttplug session ended."));
    if (client !== mine) return;
    client = null;
    listed.value = new Map();
    session.value = "failed";
    retryTimer = setTimeout(() => connected.peek() && client === null && connect(), RETRY);
  };
  mine.on("deviceadded", list);
  mine.on("deviceremoved", list);
  mine.on("disconnect", lose);
  try {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    await Promise.race([mine.connect(new ButtplugBrowserWebsocketClientConnector(`${scheme}://${location.host}/buttplug?tab=${tab}`)), over]);
    if (client !== mine) return;
    session.value = "up";
    list();
  } catch {
    lose();
  }
}

/** What `promise` brings, or an error if the session ends or nothing comes for `patience` milliseconds. */
export function answered(promise, patience = 5000) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`No answer for ${patience / 1000} s.`)), patience);
  });
  promise.catch(() => {});
  return Promise.race([promise, late, ended]).finally(() => clearTimeout(timer));
}
