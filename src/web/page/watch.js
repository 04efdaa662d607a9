// Watch: the frames of one device both ways, and a line to send one.

import { useEffect, useLayoutEffect, useMemo, useRef } from "preact/hooks";
import { useSignal } from "@preact/signals";
import { html } from "./html.js";
import { clock, count, parseHex, plural, readable, spacedHex, textToHex } from "./format.js";
import { FrameLog } from "./framelog.js";
import { useFact } from "./facts.js";
import { connected, sendFrame, watch } from "./live.js";

/** How many lines are drawn while the log runs: a flood replaces all of them ten times a second. */
const DRAWN_RUNNING = 100;
/** How many are drawn once it stands still, and how many more each press on "earlier" brings. */
const DRAWN = 500;
const DRAWN_BYTES = 256;

export function Watch({ entry }) {
  const log = useMemo(() => new FrameLog(), [entry.address]);
  useEffect(() => watch(entry.address, (lines) => log.add(lines), () => log.note("The connection to the gateway was lost: frames may be missing here.")), [log]);
  const limit = useSignal(DRAWN);
  const format = useSignal("both");
  const typed = useSignal("");
  const paused = log.paused.value;
  const resume = () => {
    limit.value = DRAWN;
    log.resume();
  };
  return html`
    <div class="watch">
      <div class="tools">
        <input type="search" aria-label="Filter frames by text or hex" placeholder="Filter: text or hex" autocomplete="off" spellcheck=${false}
          value=${typed} onInput=${(event) => { typed.value = event.currentTarget.value; log.setFilter(typed.value); }} />
        <select aria-label="Show frames as" value=${format} onChange=${(event) => (format.value = event.currentTarget.value)}>
          <option value="both">Text and hex</option>
          <option value="text">Text</option>
          <option value="hex">Hex</option>
        </select>
        <button type="button" class="act" aria-pressed=${paused} onClick=${paused ? resume : () => log.pause()}>${paused ? "Resume" : "Pause"}</button>
        <button type="button" class="act" onClick=${() => save(entry.address, log)}>Save</button>
        <button type="button" class="act" onClick=${() => log.clear()}>Clear</button>
      </div>
      <${Lines} log=${log} limit=${limit} format=${format} />
      <${Meanwhile} log=${log} />
      <${Send} entry=${entry} />
    </div>
  `;
}

function Meanwhile({ log }) {
  const came = log.came.value;
  const lost = log.lost.value;
  const text = !log.paused.value
    ? ""
    : `Paused. ${came === 0 ? "Nothing came since." : `${plural(came, "frame")} came since.`}${lost ? ` ${count(lost)} of them could not be kept.` : ""}`;
  // Not spoken at each frame: it changes ten times a second.
  return html`<p class="meanwhile quiet" aria-live="off">${text}</p>`;
}

function Lines({ log, limit, format }) {
  log.version.value;
  const box = useRef(null);
  const follows = useRef(true);
  const byHand = useRef(false);
  const all = log.shown();
  const lines = all.slice(-(log.paused.value ? limit.value : DRAWN_RUNNING));
  useLayoutEffect(() => {
    if (follows.current && !log.paused.peek()) box.current.scrollTop = box.current.scrollHeight;
  });
  const scrolledByHand = () => (byHand.current = true);
  const scrolled = () => {
    // The event comes late, maybe after the view was left.
    if (box.current === null) return;
    const { scrollTop, scrollHeight, clientHeight } = box.current;
    const atEnd = scrollHeight - scrollTop - clientHeight < 30;
    follows.current = atEnd || !byHand.current;
    // A person who scrolls up wants to read: the log stands still, and says so.
    if (byHand.current && !atEnd && !log.paused.peek()) log.pause();
    byHand.current = false;
  };
  return html`
    <div class=${`lines ${format.value}`} ref=${box} role="log" aria-live="off" aria-label="Frames" tabindex="0"
      onWheel=${scrolledByHand} onTouchMove=${scrolledByHand} onKeyDown=${scrolledByHand} onPointerDown=${scrolledByHand} onScroll=${scrolled}>
      ${all.length > lines.length && html`<p class="earlier"><button type="button" class="plain" onClick=${() => { if (!log.paused.peek()) log.pause(); else limit.value += DRAWN; }}>
        ${count(all.length - lines.length)} earlier lines: show more</button></p>`}
      ${all.length === 0 && html`<p class="quiet none">${log.filter ? "No frame matches the filter." : "No frame yet. Frames appear as they come, both ways."}</p>`}
      ${lines.map((line) => html`<${Line} key=${line.serial} line=${line} />`)}
    </div>
  `;
}

function Line({ line }) {
  if (line.hex === undefined) return html`<p class="mark">${line.at ? `${clock(line.at)} ` : ""}${mark(line)}</p>`;
  const to = line.direction === "to_device";
  return html`<p class=${to ? "line to" : "line from"}>
    <time>${clock(line.at)}</time>
    <span class="arrow" role="img" aria-label=${to ? "to the device" : "from the device"}>${to ? "→" : "←"}</span>
    <span class="text">${readable(line)}</span>
    <span class="hex">${shortHex(line.hex)}</span>
  </p>`;
}

function shortHex(hex) {
  const bytes = hex.length / 2;
  if (bytes <= DRAWN_BYTES) return spacedHex(hex);
  return `${spacedHex(hex.slice(0, DRAWN_BYTES * 2))} … and ${plural(bytes - DRAWN_BYTES, "more byte")}`;
}

function mark(line) {
  if (line.missed !== undefined) return `${plural(line.missed, "frame")} missed here: they came faster than they could be shown.`;
  if (line.watching !== undefined) return "The device is connected.";
  if ("gone" in line) return line.gone ? `The device has gone: ${line.gone}` : "The device has gone.";
  return line.note ?? "";
}

/** Saves what matches the filter, also what came during a pause, as a text file. */
function save(address, log) {
  const text = log.matching
    .map((line) => {
      const at = line.at ? new Date(line.at * 1000).toISOString() : "";
      if (line.hex === undefined) return `${at}\t--\t${mark(line)}`;
      return `${at}\t${line.direction === "to_device" ? "->" : "<-"}\t${readable(line)}\t${spacedHex(line.hex)}`;
    })
    .join("\n");
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text, "\n"], { type: "text/plain" }));
  link.download = `frames-${address.replace(/[^A-Za-z0-9._-]+/g, "_")}-${new Date().toISOString().slice(0, 19).replace(/[:T]/g, "-")}.txt`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

const ENDINGS = { none: ["nothing", ""], lf: ["\\n", "\n"], crlf: ["\\r\\n", "\r\n"], semicolon: [";", ";"] };

function Send({ entry }) {
  const text = useSignal("");
  const kind = useSignal(remembered("kind", "text"));
  const ending = useSignal(remembered("ending", "none"));
  const as = useSignal("gateway");
  const result = useSignal(null);
  const present = useFact(entry, (d) => d.state === "ready" || d.state === "relayed" || d.state === "connecting");
  const submit = async (event) => {
    event.preventDefault();
    try {
      const hex = kind.value === "hex" ? parseHex(text.value) : textToHex(text.value + ENDINGS[ending.value][1]);
      result.value = null;
      const error = await sendFrame(entry.address, hex, as.value);
      result.value = error ? { bad: true, text: error } : { bad: false, text: `Sent ${plural(hex.length / 2, "byte")}.` };
    } catch (error) {
      result.value = { bad: true, text: error.message };
    }
  };
  const set = (signal, key) => (event) => {
    signal.value = event.currentTarget.value;
    if (key) remember(key, signal.value);
  };
  return html`
    <form class="send" onSubmit=${submit} aria-label="Send a frame">
      <input type="text" class="frame" aria-label="Frame to send" placeholder=${kind.value === "hex" ? "4f 4b 3b" : "DeviceType;"} autocomplete="off" autocapitalize="off" spellcheck=${false}
        value=${text} onInput=${(event) => (text.value = event.currentTarget.value)} />
      <select aria-label="Written as" value=${kind} onChange=${set(kind, "kind")}>
        <option value="text">Text</option>
        <option value="hex">Hex</option>
      </select>
      ${kind.value === "text" && html`<select aria-label="Ends with" value=${ending} onChange=${set(ending, "ending")}>
        ${Object.entries(ENDINGS).map(([key, [name]]) => html`<option key=${key} value=${key}>ends with ${name}</option>`)}
      </select>`}
      <select aria-label="Send to" value=${as} onChange=${set(as)}>
        <option value="gateway">to the device</option>
        <option value="device">as if from the device</option>
      </select>
      <button type="submit" class="act" disabled=${!connected.value || !present.value}>Send</button>
      <p class=${result.value?.bad ? "problem" : "quiet"} role="status">${result.value?.text}</p>
    </form>
  `;
}

// What was chosen last is remembered in this browser; where storage is off, it is not.
function remembered(key, otherwise) {
  try {
    return localStorage.getItem(`send.${key}`) ?? otherwise;
  } catch {
    return otherwise;
  }
}

function remember(key, value) {
  try {
    localStorage.setItem(`send.${key}`, value);
  } catch {
    // Not remembered, then.
  }
}
