// Numbers, times and bytes as a person reads them, and back.

const grouped = new Intl.NumberFormat("en", { useGrouping: true });

const collator = new Intl.Collator("en", { numeric: true });
/** bench-2 comes before bench-10. */
export const nameOrder = (a, b) => collator.compare(a, b);

/** 12345 → "12,345" */
export const count = (n) => grouped.format(n);

/** 12345 → "12.3 kB" */
export function bytes(n) {
  if (n < 1000) return `${n} B`;
  for (const unit of ["kB", "MB", "GB"]) {
    n /= 1000;
    if (n < 999.95) return `${n < 10 ? n.toFixed(1) : Math.round(n)} ${unit}`;
  }
  return `${count(Math.round(n / 1000))} TB`;
}

/** Seconds → "12 s", "5 min", "3 h", "2 d" */
export function duration(seconds) {
  const s = Math.max(0, Math.floor(seconds));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d`;
}

export const milliseconds = (ms) => (ms < 10 ? `${ms.toFixed(1)} ms` : `${Math.round(ms)} ms`);

export const percent = (fraction) => `${Math.round(fraction * 100)} %`;

export const plural = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;

const pad = (n, width) => String(n).padStart(width, "0");

/** Seconds since 1970 → local "14:03:21.045" */
export function clock(at) {
  const d = new Date(at * 1000);
  return `${pad(d.getHours(), 2)}:${pad(d.getMinutes(), 2)}:${pad(d.getSeconds(), 2)}.${pad(d.getMilliseconds(), 3)}`;
}

const full = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
/** Seconds since 1970 → local date and time in full, for a tooltip */
export const fullTime = (at) => full.format(at * 1000);

const ESCAPES = { "\n": "\\n", "\r": "\\r", "\t": "\\t", "\\": "\\\\" };

/** Control characters become visible: a newline is shown as \n, another one as \x02. */
export function visible(text) {
  return text.replace(/[\u0000-\u001f\u007f-\u009f\\\u200b-\u200f\u2028-\u202e\u2066-\u2069]/g, (c) => {
    if (ESCAPES[c]) return ESCAPES[c];
    const code = c.charCodeAt(0);
    return code < 256 ? `\\x${pad(code.toString(16), 2)}` : `\\u${pad(code.toString(16), 4)}`;
  });
}

/** A frame as text; if its bytes are not valid UTF-8, those that are not ASCII are shown as \xff. */
export function readable({ text, hex }) {
  if (!text.includes("\ufffd")) return visible(text);
  return hex.replace(/../g, (byte) => {
    const code = parseInt(byte, 16);
    return code < 128 ? visible(String.fromCharCode(code)) : `\\x${byte}`;
  });
}

/** "4f4b3b" → "4f 4b 3b" */
export const spacedHex = (hex) => hex.replace(/(..)(?=.)/g, "$1 ");

/** What was typed as hex → plain hex digits; throws a sentence for the person. */
export function parseHex(typed) {
  const hex = typed.replace(/0x/gi, "").replace(/[\s,:]/g, "").toLowerCase();
  if (hex === "") throw new Error("Type some bytes first, such as 4f 4b 3b.");
  if (/[^0-9a-f]/.test(hex)) throw new Error("Hex has only the digits 0 to 9 and a to f.");
  if (hex.length % 2) throw new Error("A byte has two hex digits; one is missing.");
  return hex;
}

/** What was typed as text → hex. \n, \r, \t, \\ and \x02 stand for what they do in most languages. */
export function textToHex(typed) {
  const out = [];
  const encoder = new TextEncoder();
  for (const part of typed.split(/(\\x[0-9a-fA-F]{2}|\\[nrt\\])/)) {
    if (/^\\x[0-9a-fA-F]{2}$/.test(part)) out.push(parseInt(part.slice(2), 16));
    else if (part === "\\n") out.push(10);
    else if (part === "\\r") out.push(13);
    else if (part === "\\t") out.push(9);
    else if (part === "\\\\") out.push(92);
    else out.push(...encoder.encode(part));
  }
  if (out.length === 0) throw new Error("Type some text first.");
  return out.map((b) => pad(b.toString(16), 2)).join("");
}
