// What a board says while one chooses how to bridge it: its bytes as they come, and a line to send.

import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import { useSignal, useSignalEffect } from "@preact/signals";
import { html } from "./html.js";
import { clock, plural, spacedHex, textToHex, visible } from "./format.js";
import { connected, endListening, listen, say } from "./live.js";

/** A board that says nothing for so long may be waiting to be asked. */
const SILENT_AFTER = 3000;
const KEPT = 400;
/** Bytes that decide whether the rate looks wrong, and how many of them must be unprintable. */
const JUDGED = 256;
const JUDGED_MIN = 12;
const UNPRINTABLE = 0.3;

const ENDINGS = { lf: ["\\n", "\\n"], crlf: ["\\r\\n", "\\r\\n"], semicolon: [";", ";"], none: ["nothing", ""] };
/** None of these moves anything. */
const QUESTIONS = [["D0", "D0", "\\n"], ["DeviceType;", "DeviceType;", ""], ["an empty line", "", "\\n"]];

const isPrintable = (byte) => (byte >= 0x20 && byte < 0x7f) || byte === 9 || byte === 10 || byte === 13;

/** Every byte on its own: what comes may be no text at all. */
const asText = (hex) => hex.replace(/../g, (pair) => {
  const byte = parseInt(pair, 16);
  return byte < 0x80 ? visible(String.fromCharCode(byte)) : `\\x${pair}`;
});

export function Preview({ path, rate, rates, setRate, framing }) {
  const wanted = useSignal(false);
  const problem = useSignal(null);
  const openAt = useSignal(null);
  const lines = useSignal([]);
  const judged = useSignal([]);
  const silent = useSignal(false);
  const timer = useRef(null);
  const wait = () => {
    clearTimeout(timer.current);
    silent.value = false;
    timer.current = setTimeout(() => (silent.value = true), SILENT_AFTER);
  };
  const handler = useRef(null);
  handler.current ??= {
    listening({ baud_rate: at, problem: why }) {
      if (at !== openAt.peek()) judged.value = [];
      openAt.value = at;
      problem.value = why ? [why.error, why.hint].filter(Boolean).join("; ") : null;
      if (at === null) wanted.value = false;
      else wait();
    },
    heard({ chunks, missed }) {
      wait();
      const bytes = chunks.flatMap(({ hex }) => hex.match(/../g).map((pair) => parseInt(pair, 16)));
      judged.value = [...judged.peek(), ...bytes].slice(-JUDGED);
      const more = missed ? [...chunks, { at: Date.now() / 1000, missed }] : chunks;
      lines.value = [...lines.peek(), ...more].slice(-KEPT);
    },
    ended() {
      clearTimeout(timer.current);
      openAt.value = null;
      wanted.value = false;
    },
    lost() {
      handler.current.ended();
      problem.value = "The connection to the gateway was lost, and the port was closed.";
    },
  };
  // A changed rate is set on the open port: closing it would restart many boards.
  useSignalEffect(() => {
    const number = Number(rate.value.trim());
    if (wanted.value && Number.isInteger(number) && number > 0) listen(path, number, handler.current);
  });
  useEffect(() => () => { clearTimeout(timer.current); listen(null, 0, handler.current); }, []);
  const toggle = () => {
    if (wanted.value) return endListening();
    problem.value = null;
    lines.value = [];
    judged.value = [];
    wanted.value = true;
    return undefined;
  };
  return html`
    <div class="preview">
      <p><button type="button" class="act" aria-pressed=${wanted.value} disabled=${!connected.value} onClick=${toggle}>Listen to the board</button>${" "}
        <span role="status" class="quiet">${openAt.value === null ? (wanted.value ? "Opening the port…" : "Opens the port, which restarts many boards.") : `Open at ${openAt.value} baud.`}</span></p>
      ${problem.value && html`<p role="alert" class="problem">${problem}</p>`}
      ${openAt.value !== null && html`
        <${Said} lines=${lines} />
        <${Judgement} judged=${judged} silent=${silent} openAt=${openAt} rates=${rates} setRate=${setRate} framing=${framing} />
        <${Send} framing=${framing} onSent=${(hex) => { lines.value = [...lines.peek(), { at: Date.now() / 1000, hex, sent: true }].slice(-KEPT); wait(); }} />`}
    </div>
  `;
}

function Said({ lines }) {
  const box = useRef(null);
  useLayoutEffect(() => {
    box.current.scrollTop = box.current.scrollHeight;
  });
  return html`
    <div class="lines said" ref=${box} role="log" aria-live="off" aria-label="What the board says" tabindex="0">
      ${lines.value.length === 0 && html`<p class="quiet none">Nothing yet. Bytes appear as they come.</p>`}
      ${lines.value.map(({ at, hex, missed, sent }, i) => missed
        ? html`<p key=${i} class="mark">${plural(missed, "byte")} missed here: they came faster than they could be shown.</p>`
        : html`<p key=${i} class=${sent ? "line to" : "line from"}><time>${clock(at)}</time>
            <span class="arrow" role="img" aria-label=${sent ? "to the board" : "from the board"}>${sent ? "→" : "←"}</span>
            <span class="text">${asText(hex)}</span><span class="hex">${spacedHex(hex)}</span></p>`)}
    </div>
  `;
}

function Judgement({ judged, silent, openAt, rates, setRate, framing }) {
  const bytes = judged.value;
  const odd = bytes.filter((byte) => !isPrintable(byte)).length;
  // Packets are no text at any rate.
  const isText = !["idle", "length1", "length2", "raw"].includes(framing.value);
  const looksWrong = isText && bytes.length >= JUDGED_MIN && odd / bytes.length > UNPRINTABLE;
  const next = rates[(rates.indexOf(openAt.value) + 1) % rates.length];
  return html`<div role="status" aria-label="What it looks like">
    ${looksWrong && html`<p class="warn">This looks like another baud rate.${" "}
      <button type="button" class="act" onClick=${() => setRate(next)}>Try ${next}</button></p>`}
    ${silent.value && bytes.length === 0 && html`<p>Nothing for 3 s. The board may wait to be asked: send it one of these. They move nothing.</p>`}
  </div>`;
}

function Send({ framing, onSent }) {
  const text = useSignal("");
  const ending = useSignal(framing.value in ENDINGS ? framing.value : "lf");
  const problem = useSignal(null);
  const send = async (typed) => {
    try {
      const hex = textToHex(typed);
      problem.value = await say(hex);
      if (!problem.value) onSent(hex);
    } catch (error) {
      problem.value = error.message;
    }
  };
  // This stands inside a form of its own.
  const sendTyped = () => send(text.value + ENDINGS[ending.value][1]);
  const onKeyDown = (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    sendTyped();
  };
  return html`
    <p class="quiet">What you send goes to the board at once.</p>
    <div class="send" role="group" aria-label="Send to the board">
      ${QUESTIONS.map(([label, typed, end]) => html`<button type="button" class="act" key=${label} onClick=${() => send(typed + end)} aria-label=${`Send ${label}`}>${label}</button>`)}
      <input type="text" class="frame" aria-label="Text to send" placeholder="D1" autocomplete="off" autocapitalize="off" spellcheck=${false}
        value=${text} onInput=${(event) => (text.value = event.currentTarget.value)} onKeyDown=${onKeyDown} />
      <select aria-label="Ends with" value=${ending} onChange=${(event) => (ending.value = event.currentTarget.value)}>
        ${Object.entries(ENDINGS).map(([key, [name]]) => html`<option key=${key} value=${key}>ends with ${name}</option>`)}
      </select>
      <button type="button" class="act" onClick=${sendTyped}>Send</button>
      ${problem.value && html`<p role="alert" class="problem">${problem}</p>`}
    </div>
  `;
}
