// Small pieces that show one fact about a device; the list and the device's own view use the same ones.

import { useComputed } from "@preact/signals";
import { html, sentence } from "./html.js";
import { bytes, count, duration, fullTime, milliseconds, percent } from "./format.js";
import { now } from "./live.js";
import { driverName, isPresent, STATES } from "./names.js";

/** A text that follows the device; the text node changes by itself. */
export const useFact = (entry, of) => useComputed(() => of(entry.device.value));

export function State({ entry }) {
  const state = useFact(entry, (d) => d.state);
  const since = useFact(entry, (d) => {
    const length = duration(now.value - d.since);
    if (isPresent(d)) return `for ${length}`;
    return d.refused_times > 1 ? `${count(d.refused_times)}×, ${length} ago` : `${length} ago`;
  });
  const at = useFact(entry, (d) => `since ${fullTime(d.since)}`);
  return html`<span class=${`badge ${state.value}`}>${STATES[state.value] ?? state.value}</span>${" "}
    <small class="quiet" title=${at}>${since}</small>`;
}

export function Driver({ entry }) {
  const name = useFact(entry, (d) => driverName(d.driver));
  const origin = useFact(entry, (d) => (d.driver?.kind === "app" && d.driver.origin) || "");
  if (name.value === null) return html`<span class="quiet">not driven</span>`;
  return html`<span class="label">Driven by</span> <span class="drives">${name}</span> <small class="quiet">${origin}</small>`;
}

export function Frames({ entry }) {
  const to = useFact(entry, (d) => count(d.to_device));
  const toBytes = useFact(entry, (d) => bytes(d.bytes_to_device));
  const from = useFact(entry, (d) => count(d.from_device));
  const fromBytes = useFact(entry, (d) => bytes(d.bytes_from_device));
  return html`
    <span class="flow"><span class="arrow" role="img" aria-label="to the device" title="to the device">→</span> <span>${to}</span> <small class="quiet">${toBytes}</small></span>${" "}
    <span class="flow"><span class="arrow" role="img" aria-label="from the device" title="from the device">←</span> <span>${from}</span> <small class="quiet">${fromBytes}</small></span>`;
}

export function RoundTrip({ entry }) {
  return html`<span>${useFact(entry, (d) => (d.round_trip_ms === null ? "–" : milliseconds(d.round_trip_ms)))}</span>`;
}

export function Drops({ entry }) {
  const text = useFact(entry, (d) => (d.dropped ? `${count(d.dropped)} dropped` : "no drops"));
  const some = useFact(entry, (d) => d.dropped > 0);
  return html`<small class=${some.value ? "warn" : "quiet"}>${text}</small>`;
}

export function Battery({ entry }) {
  const text = useFact(entry, (d) => (d.battery === null ? "–" : percent(d.battery)));
  const low = useFact(entry, (d) => d.battery !== null && d.battery < 0.2);
  return html`<span class=${low.value ? "warn" : ""}>${text}</span>`;
}

/** Why it went or was refused, and what to do about it. */
export function Reason({ entry }) {
  const reason = useFact(entry, (d) => d.reason).value;
  // A button says it better.
  const hint = useFact(entry, (d) => (d.mend ? null : d.hint)).value;
  return html`${reason && html`<span class="why">${sentence(reason)}</span>`} ${hint && html`<span class="hint">${sentence(hint)}</span>`}`;
}
