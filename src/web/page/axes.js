// The axes of TCode boards that cannot list them themselves: which there are, what they do, and what they are called.

import { useEffect } from "preact/hooks";
import { batch, useSignal } from "@preact/signals";
import { html, sentence } from "./html.js";
import { ask } from "./api.js";
import { connected } from "./live.js";
import { Result } from "./result.js";

/** What is usual on each channel. */
const USUAL = [
  { channel: "L0", kind: "position", description: "Stroke" },
  { channel: "L1", kind: "position", description: "Surge" },
  { channel: "L2", kind: "position", description: "Sway" },
  { channel: "R0", kind: "position", description: "Twist" },
  { channel: "R1", kind: "position", description: "Roll" },
  { channel: "R2", kind: "position", description: "Pitch" },
  { channel: "V0", kind: "vibrate", description: "Vibrator" },
  { channel: "V1", kind: "vibrate", description: "Second vibrator" },
  { channel: "A0", kind: "constrict", description: "Valve" },
  { channel: "A1", kind: "constrict", description: "Suction" },
  { channel: "A2", kind: "spray", description: "Lube" },
];
const LEVELS = { vibrate: "vibrates", constrict: "constricts", oscillate: "oscillates", rotate: "rotates", spray: "sprays", temperature: "heats", led: "lights" };

/** A row for each usual channel and each other one that there is. */
const rowsOf = ({ axes }) => {
  const there = new Map(axes.map((axis) => [axis.channel, { ...axis, on: true }]));
  const rows = USUAL.map((axis) => there.get(axis.channel) ?? { ...axis, on: false });
  const others = axes.filter(({ channel }) => !USUAL.some((usual) => usual.channel === channel));
  return [...rows, ...others.map((axis) => ({ ...axis, on: true }))];
};

export function Axes({ identifier, saved }) {
  const path = `/api/udcf/axes/${encodeURIComponent(identifier)}`;
  const shown = useSignal(null);
  const name = useSignal("");
  const rows = useSignal([]);
  const result = useSignal(null);
  const problem = useSignal(null);
  const busy = useSignal(false);
  const load = async () => {
    const { answer } = await ask("GET", path);
    if (!answer) return;
    batch(() => {
      shown.value = answer;
      name.value = answer.name;
      rows.value = rowsOf(answer);
    });
  };
  useEffect(() => {
    load();
  }, [path]);
  // A board that lists its axes itself, or a file that describes them in another way: then there is nothing to set here.
  if (!shown.value) return null;
  const set = (at, change) => {
    rows.value = rows.value.map((row, i) => (i === at ? { ...row, ...change } : row));
    result.value = null;
  };
  const save = async (event) => {
    event.preventDefault();
    busy.value = true;
    const axes = rows.value.filter(({ on }) => on).map(({ channel, kind, description }) => ({ channel, kind, description }));
    const { answer, problem: why } = await ask("PUT", path, { name: name.value, axes });
    if (answer) await load();
    batch(() => {
      busy.value = false;
      problem.value = why ?? null;
      result.value = answer ?? null;
    });
    if (answer) saved();
  };
  return html`
    <form class="configure axes" onSubmit=${save} aria-labelledby="h-axes">
      <h3 id="h-axes">Axes of every <code>${identifier}</code></h3>
      <p class="quiet">${shown.value.is_in_file ? "The file describes them." : "The file does not describe them yet; these are what the protocol has by itself."} The range of a single device is above.</p>
      <p><label for="axes-name">Name of the model</label> <input type="text" id="axes-name" maxlength="100" required autocomplete="off" value=${name} onInput=${(event) => (name.value = event.currentTarget.value)} /></p>
      ${rows.value.map((row, i) => html`
        <div class="axis" key=${row.channel}>
          <label><input type="checkbox" checked=${row.on} onChange=${(event) => set(i, { on: event.currentTarget.checked })} /> ${row.channel}</label>
          <input type="text" maxlength="100" autocomplete="off" aria-label=${`Description of ${row.channel}`} disabled=${!row.on} value=${row.description} onInput=${(event) => set(i, { description: event.currentTarget.value })} />
          ${row.kind === "position"
            ? html`<span class="quiet">moves to a place</span>`
            : html`<select aria-label=${`What ${row.channel} does`} disabled=${!row.on} value=${row.kind} onChange=${(event) => set(i, { kind: event.currentTarget.value })}>
                ${Object.entries(LEVELS).map(([kind, label]) => html`<option key=${kind} value=${kind}>${label}</option>`)}
              </select>`}
        </div>`)}
      <p class="buttons"><button type="submit" class="act" disabled=${!connected.value || busy.value}>Save the axes</button></p>
      ${problem.value && html`<p class="problem" role="alert">${sentence(problem.value)}</p>`}
      <div role="status">${result.value && html`<${Result} changed=${result.value} />`}</div>
    </form>
  `;
}
