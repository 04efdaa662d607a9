// The protocols that the server knows, asked for once, when a list of them is first used.

import { signal } from "@preact/signals";
import { html } from "./html.js";
import { ask } from "./api.js";

/** By name; null before they were asked for. */
export const protocols = signal(null);
/** Most boards that people build speak one of these. */
const USUAL = ["lovense", "tcode-v03"];

let asked = null;
export function askProtocols() {
  asked ??= ask("GET", "/api/protocols").then(({ answer }) => {
    if (answer) protocols.value = answer.protocols;
    else asked = null;
  });
}

/** Letters that two names have in common, pair by pair: 1 for the same name, 0 for nothing alike. */
function likeness(a, b) {
  const pairs = (text) => new Set([...text.toLowerCase()].map((letter, i, all) => letter + (all[i + 1] ?? "")).slice(0, -1));
  const [x, y] = [pairs(a), pairs(b)];
  return (2 * [...x].filter((pair) => y.has(pair)).length) / (x.size + y.size || 1);
}

/** The most likely protocols of a name, the most likely one first. */
export function likely(name, suggested) {
  const speaks = /tcode|osr|sr6|ssr1|strok/i.test(name) ? USUAL.toReversed() : USUAL;
  const alike = (protocols.value ?? [])
    .map((protocol) => ({ name: protocol.name, alike: likeness(protocol.name, name) }))
    .filter(({ alike }) => alike > 0.4)
    .sort((a, b) => b.alike - a.alike)
    .slice(0, 3);
  return [...new Set([suggested, ...speaks, ...alike.map(({ name }) => name)].filter(Boolean))];
}

/** "Vibrate, Rotate; reports Battery" */
export function abilities(name) {
  const protocol = protocols.value?.find((protocol) => protocol.name === name);
  if (!protocol) return "";
  const outputs = protocol.outputs.join(", ") || "no outputs of its own";
  return protocol.inputs.length > 0 ? `${outputs}; reports ${protocol.inputs.join(", ")}` : outputs;
}

/** The options of a list of protocols: the likely ones, then all. */
export function ProtocolOptions({ first }) {
  const others = (protocols.value ?? []).filter(({ name }) => !first.includes(name));
  return html`
    <optgroup label="Most likely">${first.map((name) => html`<option key=${name} value=${name}>${name}</option>`)}</optgroup>
    ${others.length > 0 && html`<optgroup label="All">${others.map(({ name }) => html`<option key=${name} value=${name}>${name}</option>`)}</optgroup>`}
  `;
}
