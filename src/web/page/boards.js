// Boards on wires and on Bluetooth: what is there, what the UDCF describes, and the entries of gateway.toml.

import { useEffect, useRef } from "preact/hooks";
import { batch, computed, signal } from "@preact/signals";
import { html } from "./html.js";
import { ask } from "./api.js";
import { BridgePeripheral, BridgePort } from "./bridge.js";
import { Import } from "./import.js";
import { connected, entries as devices, now } from "./live.js";
import { deviceName, isPresent, peerName } from "./names.js";
import { NewBoard, newBoardLink } from "./newboard.js";
import { deviceLink } from "./route.js";

const POLL = 2000;
const SCAN_SECONDS = 4;

/** Serial ports; null until they were listed once. */
const ports = signal(null);
const configured = signal(null);
/** Why the lists cannot be shown. */
const portsProblem = signal(null);
const entriesProblem = signal(null);

/** null, or "scanning", or { problem }, or the peripherals. */
const scan = signal(null);

/** What is being bridged: "port /dev/ttyUSB0" or "ble AA:BB:…"; "" for nothing, null for nothing said. */
const chosen = signal(null);
/** What the last change came to: { problem } or { title, written, from }; `from` tells the board that was bridged. */
const outcome = signal(null);

const isFree = (port) => port.entry === null && port.state !== "gone";
/** The form that is open: the one that was asked for, or that of the only port. */
const open = computed(() => {
  if (chosen.value !== null) return chosen.value;
  const free = (ports.value ?? []).filter(isFree);
  return free.length === 1 ? `port ${free[0].path}` : "";
});

/** Replaces a list if it is another one, so that nothing is redrawn each two seconds. */
function replace(list, now) {
  if (JSON.stringify(list.peek()) !== JSON.stringify(now)) list.value = now;
}

async function refresh() {
  const [listed, entries] = await Promise.all([ask("GET", "/api/ports"), ask("GET", "/api/entries")]);
  batch(() => {
    portsProblem.value = listed.problem;
    if (listed.answer) replace(ports, listed.answer.ports);
    entriesProblem.value = entries.problem;
    if (entries.answer) replace(configured, entries.answer);
  });
}

/** Carries out a change; the lists follow at once. Returns whether it was made. */
async function change(title, method, path, body, from) {
  const at = Date.now() / 1000;
  const { answer: result, problem } = await ask(method, path, body);
  await refresh();
  outcome.value = problem ? { problem } : { title, written: result.changed ? result : { changed: result }, from: from && { ...from, at } };
  return !problem;
}

/** `names`: what the connection to the board may be called besides what its entry says. */
async function bridge(title, section, keys, names = []) {
  const from = { way: section, names: [keys.port, keys.address, ...names] };
  if (await change(title, "POST", "/api/entries", { section, keys }, from)) chosen.value = "";
}

export function Boards() {
  useEffect(() => {
    const poll = () => document.hidden || !connected.peek() || refresh();
    poll();
    const timer = setInterval(poll, POLL);
    document.addEventListener("visibilitychange", poll);
    return () => {
      clearInterval(timer);
      document.removeEventListener("visibilitychange", poll);
    };
  }, []);
  return html`
    <div class="title"><h1 tabindex="-1">Boards</h1></div>
    <p class="quiet">Boards that do not connect by themselves. The gateway opens them, and shakes hands on their behalf. A board on Wi-Fi needs nothing here but <a href=${newBoardLink}>its firmware</a>.</p>
    <${Outcome} />
    <section class="boards" aria-labelledby="h-wire"><h2 id="h-wire">On a wire</h2><${Ports} /></section>
    <section class="boards" aria-labelledby="h-ble"><h2 id="h-ble">On Bluetooth</h2><${Near} /></section>
    <${NewBoard} />
    <section class="boards" aria-labelledby="h-udcf"><h2 id="h-udcf">From a device configuration file</h2><${Import} used=${refresh} /><${Offers} /></section>
    <section class="boards" aria-labelledby="h-entries"><h2 id="h-entries">Bridged boards</h2><${Entries} /></section>
  `;
}

function Outcome() {
  const place = useRef(null);
  const { problem, title, written, from } = outcome.value ?? {};
  useEffect(() => {
    // The button that was pressed may be far below.
    if (outcome.value) place.current.scrollIntoView({ block: "nearest" });
  }, [outcome.value]);
  const { file, backup, applied = [], after_restart: later = [], warnings = [] } = written?.changed ?? {};
  return html`
    <div class="written-place" ref=${place} role="status" aria-label="Result of the change">
      ${problem && html`<p class="problem written">${problem}</p>`}
      ${written && html`
        <div class="written">
          <p><strong>${title}</strong>${" "}
            ${file ? html`Written to <code>${file}</code>${written.line ? `, from line ${written.line}` : ""}.` : "Nothing had to be written."}</p>
          ${from && html`<${Arrival} from=${from} />`}
          ${written.toml && html`<pre tabindex="0">${written.toml}</pre>`}
          ${applied.map((text) => html`<p>${text}</p>`)}
          ${later.length > 0 && html`<p>Takes effect when the gateway is started again: ${later.join(", ")}</p>`}
          ${warnings.map((text) => html`<p class="warn">${text}</p>`)}
          ${backup && html`<p class="quiet">The version before is kept as <code>${backup}</code></p>`}
        </div>`}
    </div>
  `;
}

/** The USB of the ESP32-C3, C6 and others of their maker. */
const ESPRESSIF_USB = "303a:1001";

const STATES = { free: "free", open: "open", held: "in use", forbidden: "no permission", gone: "not there" };

function Ports() {
  const list = ports.value;
  if (portsProblem.value) return html`<p class="problem">${portsProblem}</p>`;
  if (list === null) return html`<p class="quiet">Looking…</p>`;
  if (list.length === 0) {
    return html`<div class="empty" role="status">
      <p><strong>There are no serial ports.</strong> A board appears here as soon as it is plugged in.</p>
      <p>Some USB cables carry power only: try another one. In a container or a virtual machine, the port has to be passed in. On Linux, <code>dmesg</code> shows whether the system saw the board.</p>
    </div>`;
  }
  return html`<ul class="list" aria-label="Serial ports">${list.map((port) => html`<${Port} key=${port.path} port=${port} />`)}</ul>`;
}

function Port({ port }) {
  const { path, lasting, product, manufacturer, serial_number: serial, usb, state, held_by: by, hint, entry } = port;
  const isOpen = open.value === `port ${path}`;
  const says = [manufacturer, serial && `serial number ${serial}`, usb && `USB ${usb}`].filter(Boolean).join(", ");
  const toggle = () => (chosen.value = isOpen ? "" : `port ${path}`);
  return html`
    <li>
      <div class="who"><span class="name">${product ?? path}</span> <small class="quiet">${product ? path : ""} ${says}</small>
        ${lasting && html`<small class="quiet">${lasting}</small>`}</div>
      <div class="what"><span class=${`badge ${state === "free" || state === "open" ? "ready" : "refused"}`}>${STATES[state] ?? state}</span>
        ${by.length > 0 && html` <small>by ${by.join(", ")}</small>`}
        ${entry && html` <small>bridged by <code>${entry}</code></small>`}
        <${Connected} way="serial" names=${[path, lasting]} /></div>
      <div class="c-actions">
        ${isFree(port) && html`<button type="button" class="act" aria-expanded=${isOpen} disabled=${!connected.value} onClick=${toggle} aria-label=${`Bridge this: ${path}`}>Bridge this</button>`}
      </div>
      ${hint && html`<p class="c-reason hint">${hint}</p>`}
      ${isFree(port) && usb === ESPRESSIF_USB && html`<p class="c-reason">A new ESP32-C3 or C6 is not bridged: <a href=${newBoardLink}>write its firmware</a>, and it comes by Wi-Fi.</p>`}
      ${isOpen && isFree(port) && html`<${BridgePort} port=${port} bridge=${bridge} />`}
    </li>
  `;
}

/** Some seconds without an answer are usual: many boards restart when their port is opened. */
const USUAL_WAIT = 10;

/** What becomes of a board that was bridged just now: until it is a device, and the way to its sliders then. */
function Arrival({ from: { way, names, at } }) {
  const here = devices.value.filter(({ device: { value } }) => cameFrom(value, way, names));
  const found = here.find(({ device: { value } }) => isPresent(value)) ?? here.find(({ device: { value } }) => value.state === "refused" && value.since >= at);
  if (!found) return html`<p>Waiting for the board${now.value - at > USUAL_WAIT ? ": is it plugged in, and on? Its port is tried again and again." : "…"}</p>`;
  const device = found.device.value;
  if (device.state === "refused") return html`<p class="warn">The board was refused: ${device.reason} <a href="#/devices">Let it in under Devices</a></p>`;
  if (device.state === "ready") return html`<p><a class="act" href=${deviceLink(found.address, "try")}>Try it: ${deviceName(device)}</a></p>`;
  if (device.state === "relayed") return html`<p><a class="act" href=${deviceLink(found.address, "watch")}>Watch: ${deviceName(device)}</a></p>`;
  if (now.value - at <= USUAL_WAIT) return html`<p>The board is asked what it is…</p>`;
  return html`<p class="warn">The board does not say what it is. <a href=${deviceLink(found.address, "watch")}>Watch what it says</a>, or remove the entry below and choose another kind of board.</p>`;
}

/** Whether a device came from a place of one of these names. Behind a Bluetooth address stands what it calls itself. */
const cameFrom = (device, way, names) => device.way === way && [peerName(device), peerName(device).split(" ")[0]].some((peer) => names.includes(peer));

/** The device that came from there. */
function Connected({ way, names }) {
  const found = devices.value.find(({ device: { value } }) => isPresent(value) && cameFrom(value, way, names));
  return found ? html` <a href=${deviceLink(found.address, "try")}>${deviceName(found.device.value)}</a>` : null;
}

async function startScan() {
  if (scan.peek() === "scanning") return;
  scan.value = "scanning";
  const { answer: result, problem } = await ask("GET", `/api/bluetooth?seconds=${SCAN_SECONDS}`, undefined, (SCAN_SECONDS + 20) * 1000);
  scan.value = problem ? { problem } : result.peripherals.map((one) => ({ ...one, tag: ownBle().find((own) => one.entry === `ble.${own.n}`)?.tag }));
}

const ownBle = () => configured.value?.entries.filter(({ section }) => section === "ble") ?? [];

/** The entry that takes a peripheral. Entries come and go after the scan, which is not repeated for that. */
function taker({ address, name, entry, tag }) {
  if (entry === "udcf") return entry;
  const own = ownBle().find((own) => own.tag === tag || own.keys.address === address || (name !== null && own.keys.name === name));
  return own ? `ble.${own.n}` : null;
}

function Near() {
  const seen = scan.value;
  const busy = seen === "scanning";
  return html`
    <p><button type="button" class="act" disabled=${busy || !connected.value} onClick=${startScan}>${busy ? "Scanning…" : seen ? "Scan again" : "Scan"}</button>${" "}
      <span role="status" class="quiet">${busy ? `This takes ${SCAN_SECONDS} seconds.` : Array.isArray(seen) ? `${seen.length} seen.` : ""}</span></p>
    ${seen?.problem && html`<p role="alert" class="problem">${seen.problem}</p>`}
    ${Array.isArray(seen) && seen.length === 0 && html`<p class="empty"><strong>Nothing was seen.</strong> Is the board on, and near? One that a phone is connected to does not advertise.</p>`}
    ${Array.isArray(seen) && seen.length > 0 && html`<ul class="list" aria-label="Bluetooth peripherals">${seen.map((one) => html`<${Peripheral} key=${one.address} one=${one} />`)}</ul>`}
  `;
}

function Peripheral({ one }) {
  const { address, name, rssi, is_connected: inUse, services, profiles } = one;
  const entry = taker(one);
  const key = `ble ${address}`;
  const isOpen = open.value === key;
  return html`
    <li>
      <div class="who"><span class="name">${name ?? "No name"}</span> <small class="quiet">${address} ${services.join(", ")}</small></div>
      <div class="what">${rssi === null ? "" : `${String(rssi).replace("-", "−")} dBm`}${" "}
        ${inUse && html`<span class="badge">connected</span>`}
        ${entry ? html` <small>bridged by <code>${entry}</code></small>` : profiles.length > 0 && html` <small>fits ${profiles.join(", ")}</small>`}
        <${Connected} way="ble" names=${[address]} /></div>
      <div class="c-actions">
        ${entry === null && html`<button type="button" class="act" aria-expanded=${isOpen} disabled=${!connected.value} onClick=${() => (chosen.value = isOpen ? "" : key)}
          aria-label=${`Bridge this: ${name ?? address}`}>Bridge this</button>`}
      </div>
      ${isOpen && entry === null && html`<${BridgePeripheral} one=${one} bridge=${bridge} />`}
    </li>
  `;
}

const OFFERS = { offered: "not bridged", bridged: "bridged", configured: "has an entry", unusable: "cannot be bridged as it stands" };

function Offers() {
  const { udcf, offers = [], bridges_udcf: all, problem } = configured.value ?? {};
  if (offers.length === 0 && !problem) return null;
  const set = (bridged) => change(bridged ? "The boards of the UDCF are bridged." : "The boards of the UDCF are no longer bridged.", "POST", "/api/entries/udcf", { bridge: bridged });
  const few = offers.some((offer) => offer.state === "offered");
  return html`
    <div>
      ${problem && html`<p class="problem">${problem.error}</p>`}
      ${offers.length > 0 && html`
        <p class="quiet">Boards in <code>${udcf}</code>, as Intiface would open them.</p>
        <ul class="list" aria-label="Boards of the UDCF">
          ${offers.map((offer, i) => html`
            <li key=${i}>
              <div class="who"><span class="name">${offer.name}</span> <small class="quiet">${offer.section === "ble" ? "Bluetooth" : "serial port"}, ${offer.protocol}</small></div>
              <div class="what"><span class=${`badge ${offer.state === "bridged" || offer.state === "configured" ? "ready" : offer.state === "unusable" ? "refused" : ""}`}>${OFFERS[offer.state]}</span>${" "}
                <${Connected} names=${[offer.name]} way=${offer.section} /></div>
              <div class="c-actions">
                ${offer.state === "offered" && html`<button type="button" class="act" disabled=${!connected.value} aria-label=${`Bridge ${offer.name}`}
                  onClick=${() => bridge(`${offer.name} is bridged.`, offer.section, offer.keys)}>Bridge</button>`}
              </div>
              ${offer.problem && html`<p class="c-reason why">${offer.problem}</p>`}
              ${offer.remarks.map((text) => html`<p class="c-reason hint">${text}</p>`)}
              <details><summary>The entry</summary><pre tabindex="0">${offer.toml}</pre></details>
            </li>`)}
        </ul>
        <p>${all
          ? html`<button type="button" class="act" disabled=${!connected.value} onClick=${() => set(false)}>Stop bridging them</button>`
          : few && html`<button type="button" class="act" disabled=${!connected.value} onClick=${() => set(true)}>Bridge all of them</button> <span class="quiet">also those that the file gets later</span>`}</p>`}
    </div>
  `;
}

function Entries() {
  const list = configured.value;
  if (entriesProblem.value) return html`<p class="problem">${entriesProblem}</p>`;
  if (list === null) return html`<p class="quiet">Reading gateway.toml…</p>`;
  if (list.entries.length === 0) return html`<p class="quiet">None yet. Entries are kept in <code>${list.file ?? "gateway.toml"}</code></p>`;
  return html`
    <p class="quiet">In <code>${list.file}</code></p>
    <ul class="list" aria-label="Entries">
      ${list.entries.map((entry) => html`<${Entry} key=${`${entry.section}.${entry.n}.${entry.tag}`} entry=${entry} />`)}
    </ul>
  `;
}

function Entry({ entry: { section, n, tag, line, toml, keys } }) {
  const name = `${section}.${n}`;
  const what = keys.port ?? keys.name ?? keys.address ?? keys.url ?? (keys.match ? "every port" : "every board that fits");
  const remove = () => change(`${what} is no longer bridged.`, "DELETE", `/api/entries/${section}/${n}?tag=${tag}`);
  return html`
    <li>
      <div class="who"><span class="name">${what}</span> <small class="quiet"><code>${name}</code> line ${line}</small></div>
      <div class="what">${keys.identifier ?? html`<span class="quiet">the board says who it is</span>`}
        <${Connected} names=${[keys.port, keys.address]} way=${section} /></div>
      <div class="c-actions"><button type="button" class="act" disabled=${!connected.value} onClick=${remove} aria-label=${`Remove ${name}: ${what}`}>Remove</button></div>
      <details><summary>The entry</summary><pre tabindex="0">${toml}</pre></details>
    </li>
  `;
}
