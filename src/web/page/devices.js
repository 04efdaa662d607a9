// The list of devices: a table on a wide screen, cards on a phone. A row is built once; after that only cells whose
// text changed are touched.

import { useEffect, useMemo, useRef } from "preact/hooks";
import { computed, signal, useComputed, useSignal } from "@preact/signals";
import { html } from "./html.js";
import { call } from "./api.js";
import { Battery, Driver, Drops, Frames, Reason, RoundTrip, State, useFact } from "./facts.js";
import { importLink } from "./import.js";
import { connected, connection, entries, gateway, now } from "./live.js";
import { hasMend, Mend } from "./mend.js";
import { deviceName, driverName, isPresent, peerName, wayName } from "./names.js";
import { newBoardLink } from "./newboard.js";
import { deviceLink } from "./route.js";
import { Simulate } from "./simulate.js";
import { Spark } from "./spark.js";
import { stop } from "./stop.js";

const search = signal("");
const show = signal("all");

const SHOWN = {
  all: () => true,
  present: isPresent,
  gone: (d) => d.state === "gone",
  refused: (d) => d.state === "refused",
};

function matches(device, words) {
  const text = [device.name, device.address, device.identifier, device.peer, driverName(device.driver)].join(" ").toLowerCase();
  return words.every((word) => text.includes(word));
}

let before = [];
/** What the filters leave, in the order of all. Without a filter no device is looked at, so that a change costs nothing here. */
const filtered = computed(() => {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0 && show.value === "all") return entries.value;
  const list = entries.value.filter(({ device: { value } }) => SHOWN[show.value](value) && matches(value, words));
  // The same list stays the same object: nothing is redrawn then.
  if (list.length !== before.length || list.some((entry, i) => entry !== before[i])) before = list;
  return before;
});

const numbers = computed(() => {
  let present = 0, gone = 0, refused = 0;
  for (const { device } of entries.value) {
    if (device.value.state === "gone") gone++;
    else if (device.value.state === "refused") refused++;
    else present++;
  }
  return [present, gone, refused].join(" ");
});

let scrolled = 0;

export function Devices() {
  useEffect(() => {
    scrollTo(0, scrolled);
    const remember = () => (scrolled = scrollY);
    addEventListener("scroll", remember, { passive: true });
    return () => removeEventListener("scroll", remember);
  }, []);
  const list = filtered.value;
  const all = entries.value.length;
  if (all === 0) return html`<h1 tabindex="-1">Devices</h1>${connection.value === "connecting" ? html`<p class="quiet">Connecting to the gateway…</p>` : html`<${Empty} />`}`;
  return html`
    <div class="title">
      <h1 tabindex="-1">Devices</h1>
      <${Numbers} />
      <div class="filters">
        <input type="search" aria-label="Find a device" placeholder="Find a device" autocomplete="off" spellcheck=${false}
          value=${search} onInput=${(event) => (search.value = event.currentTarget.value)} />
        <select aria-label="Which devices to show" value=${show} onChange=${(event) => (show.value = event.currentTarget.value)}>
          <option value="all">All</option>
          <option value="present">Connected</option>
          <option value="gone">Gone</option>
          <option value="refused">Refused</option>
        </select>
      </div>
    </div>
    <div class="devices" role="table" aria-label="Devices" aria-rowcount=${list.length + 1}>
      <div role="rowgroup">
        <div class="row head" role="row">
          <span role="columnheader">Device</span>
          <span role="columnheader">State</span>
          <span role="columnheader">Way</span>
          <span role="columnheader">Driven by</span>
          <span role="columnheader">Frames</span>
          <span role="columnheader">Last minute</span>
          <span role="columnheader">Round trip</span>
          <span role="columnheader">Battery</span>
          <span role="columnheader"><span class="unseen">Actions</span></span>
        </div>
      </div>
      <div role="rowgroup">
        ${list.map((entry) => html`<${Row} key=${entry.key} entry=${entry} />`)}
      </div>
    </div>
    ${list.length === 0 && html`<p class="quiet">None of the ${all} devices matches. <button type="button" class="plain" onClick=${() => { search.value = ""; show.value = "all"; }}>Show all</button></p>`}
    <${Simulate} />
    <${OtherWays} />
  `;
}

/** How devices come in that do not connect by themselves. */
function OtherWays() {
  return html`<p class="ways quiet"><a href="#/boards">A board on a wire or on Bluetooth…</a> <a href=${newBoardLink}>A new ESP32-C3 or C6…</a> <a href=${importLink}>Use a device configuration file from Intiface…</a></p>`;
}

function Numbers() {
  const [present, gone, refused] = numbers.value.split(" ");
  return html`<p class="numbers quiet">${present} connected${gone > 0 && `, ${gone} gone`}${refused > 0 && `, ${refused} refused`}</p>`;
}

// Rows that are out of view follow once a second only: with hundreds of devices nearly all the work would be theirs.
const visibility = new WeakMap();
const rowsInView = new IntersectionObserver(
  (changes) => {
    for (const { target, isIntersecting } of changes) {
      const visible = visibility.get(target);
      if (visible) visible.value = isIntersecting;
    }
  },
  { rootMargin: "150px" },
);

/** The entry as its row shows it. */
function useEntryInView(whole) {
  const row = useRef(null);
  const visible = useSignal(true);
  const device = useComputed(() => (visible.value ? whole.device.value : (now.value, whole.device.peek())));
  useEffect(() => {
    const element = row.current;
    visibility.set(element, visible);
    rowsInView.observe(element);
    return () => rowsInView.unobserve(element);
  }, []);
  return [row, useMemo(() => ({ ...whole, device }), [])];
}

function Row({ entry: whole }) {
  const [row, entry] = useEntryInView(whole);
  const name = useFact(entry, deviceName);
  const identifier = useFact(entry, (d) => (d.name ? d.identifier : ""));
  const here = useFact(entry, isPresent).value;
  // Nothing can be tried or watched before it is known what it is.
  const unknown = useFact(entry, (d) => d.state === "identifying").value;
  const explained = useFact(entry, (d) => Boolean(d.reason || d.hint)).value;
  const mend = useMemo(() => hasMend(entry), []).value;
  const way = useFact(entry, (d) => wayName(d.way));
  const peer = useFact(entry, peerName);
  const tryLabel = useFact(entry, (d) => `Try it: ${deviceName(d)}, ${entry.address}`);
  const watchLabel = useFact(entry, (d) => `Watch: ${deviceName(d)}, ${entry.address}`);
  return html`
    <div ref=${row} class=${here ? "row" : "row away"} role="row">
      <div role="rowheader" class="c-name"><span class="name" title=${name}>${name}</span> <small class="quiet">${entry.address} <span class="kind">${identifier}</span></small></div>
      <div role="cell" class="c-state"><${State} entry=${entry} /></div>
      <div role="cell" class="c-way"><span>${way}</span> <small class="quiet" title=${peer}>${peer}</small></div>
      <div role="cell" class="c-driver"><${Driver} entry=${entry} /></div>
      <div role="cell" class="c-frames"><${Frames} entry=${entry} /></div>
      <div role="cell" class="c-rate"><${Spark} entry=${entry} /></div>
      <div role="cell" class="c-trip"><span class="label">Round trip</span> <${RoundTrip} entry=${entry} /> <${Drops} entry=${entry} /></div>
      <div role="cell" class="c-battery"><span class="label">Battery</span> <${Battery} entry=${entry} /></div>
      <div role="cell" class="c-actions">
        ${unknown
          ? html`<button type="button" class="act" onClick=${() => stop(entry.address)} aria-label=${`Stop ${entry.address}`}>Stop</button>`
          : html`${here
              ? html`<a class="act" href=${deviceLink(entry.address, "try")} aria-label=${tryLabel}>Try it</a>`
              : html`<${Forget} entry=${entry} />`}
            <a class="act" href=${deviceLink(entry.address, "watch")} aria-label=${watchLabel}>Watch</a>`}
      </div>
      ${(explained || mend) && html`<div role="cell" class="c-reason"><${Reason} entry=${entry} /> <${Mend} entry=${entry} /></div>`}
    </div>
  `;
}

export function Forget({ entry }) {
  const problem = useSignal(null);
  const forget = async () => {
    problem.value = await call("DELETE", `/api/devices/${encodeURIComponent(entry.address)}`);
  };
  return html`<button type="button" class="act" disabled=${!connected.value} onClick=${forget} aria-label=${`Forget ${entry.address}`}>Forget</button>
    ${problem.value && html`<span role="alert" class="problem">${problem}</span>`}`;
}

function Empty() {
  const { devices = [], clients = [] } = gateway.value ?? {};
  return html`
    <section class="empty">
      <p><strong>No device has connected yet.</strong> It appears here by itself, also if it is refused, and then with the reason.</p>
      <p>A board connects to ${devices.map((url) => html`<code>${url}</code> `)}</p>
      <${OtherWays} />
      <${Simulate} />
      ${clients.length > 0 && html`<p class="quiet">Apps connect to ${clients.map((url) => html`<code>${url}</code> `)}</p>`}
    </section>
  `;
}
