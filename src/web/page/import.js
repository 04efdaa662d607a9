// A device configuration file that a person brings, such as Intiface's own: first what it describes, then it is used.

import { useEffect, useRef } from "preact/hooks";
import { batch, useSignal } from "@preact/signals";
import { html, sentence } from "./html.js";
import { ask } from "./api.js";
import { connected } from "./live.js";
import { Result } from "./result.js";

const MAX_BYTES = 1024 * 1024;
/** Its devices are tried one by one. */
const PATIENCE = 30000;
/** The fragment that leads to the choice of a file. */
export const importLink = "#/boards/file";

/** `used()` is called after the file came into force. */
export function Import({ used }) {
  /** null, "reading", or { name, text, found }. */
  const chosen = useSignal(null);
  const problem = useSignal(null);
  const done = useSignal(null);
  const busy = useSignal(false);
  const input = useRef(null);
  const turn = useRef(0);
  const forget = () => {
    turn.current++;
    chosen.value = null;
    // The same file can be chosen again, after it was corrected.
    if (input.current) input.current.value = "";
  };
  const choose = async (file) => {
    if (!file) return;
    const mine = ++turn.current;
    batch(() => {
      chosen.value = "reading";
      problem.value = null;
      done.value = null;
    });
    const { found, text, why } = await look(file);
    if (turn.current !== mine) return;
    batch(() => {
      if (found) chosen.value = { name: file.name, text, found };
      else forget();
      problem.value = why ?? null;
    });
  };
  const use = async () => {
    const { name, text } = chosen.value;
    busy.value = true;
    const { answer, problem: why } = await ask("POST", "/api/udcf/import", { name, text, dry_run: false }, PATIENCE);
    if (answer) await used();
    batch(() => {
      busy.value = false;
      problem.value = why ?? null;
      if (!answer) return;
      done.value = { name, ...answer };
      forget();
    });
  };
  useEffect(() => {
    // A file may be dropped anywhere: the browser would leave the page for it otherwise.
    const over = (event) => event.dataTransfer?.types.includes("Files") && event.preventDefault();
    const drop = (event) => {
      if (!event.dataTransfer?.files.length) return;
      event.preventDefault();
      choose(event.dataTransfer.files[0]);
    };
    addEventListener("dragover", over);
    addEventListener("drop", drop);
    // After the view's heading took the focus.
    const timer = location.hash === importLink && setTimeout(() => input.current?.focus());
    return () => {
      clearTimeout(timer);
      removeEventListener("dragover", over);
      removeEventListener("drop", drop);
    };
  }, []);
  const state = chosen.value;
  return html`
    <div class="import">
      <label for="udcf-file">Use a device configuration file from Intiface…</label>
      <input type="file" id="udcf-file" ref=${input} accept=".json,application/json" disabled=${!connected.value || busy.value} aria-describedby="udcf-file-hint"
        onChange=${(event) => choose(event.currentTarget.files[0])} />
      <small class="quiet" id="udcf-file-hint">Of any version; or drop the file here. You see what it describes before anything changes.</small>
      ${problem.value && html`<p class="problem" role="alert">${sentence(problem.value)}</p>`}
      <div role="status" aria-label="Result of the import">
        ${state === "reading" && html`<p class="quiet">Reading the file…</p>`}
        ${done.value && html`<${Done} done=${done.value} />`}
      </div>
      ${state?.found && html`<${Found} name=${state.name} found=${state.found} busy=${busy.value} use=${use} cancel=${forget} />`}
    </div>
  `;
}

async function look(file) {
  if (file.size > MAX_BYTES) return { why: `${file.name} is larger than 1 MiB: it is no device configuration, or has far more in it than you need.` };
  let text;
  try {
    text = await file.text();
  } catch {
    return { why: `${file.name} cannot be read.` };
  }
  const { answer: found, problem: why } = await ask("POST", "/api/udcf/import", { name: file.name, text, dry_run: true }, PATIENCE);
  return { found, text, why };
}

function Done({ done: { name, boards, changed } }) {
  const there = boards.length > 0 && (boards.length > 1 ? "Its boards are below: bridge those that you have." : "Its board is below: bridge it.");
  return html`<p><strong>${name} is in use.</strong> ${there}</p><${Result} changed=${changed} />`;
}

function becomes({ version, is_migrated, summary }) {
  if (!is_migrated) return `It is of version ${version}, and is used as it is.`;
  return `It is of version ${version}, and is migrated to version 5: ${summary ?? "its content is of an older version than it says"}.`;
}

const listOf = (features) => features.join(", ") || "its features come from its model";

/** "my.json:4:5: …" is "Line 4: …": which file it is stands above. */
const placed = (warning, name) => (warning.startsWith(`${name}:`) ? warning.slice(name.length + 1).trimStart().replace(/^(\d+):\d+: /, "Line $1: ") : warning);

function Found({ name, found, busy, use, cancel }) {
  const { warnings, names, boards, devices, refused_names: refused, file, replaces } = found;
  return html`
    <section class="note found" aria-label="What the file describes">
      <h3>${name}</h3>
      <p>${becomes(found)}</p>
      ${warnings.length > 0 && html`
        <h4>To know before</h4>
        <ul>${warnings.map((warning) => html`<li key=${warning}>${sentence(placed(warning, name))}</li>`)}</ul>`}
      ${boards.length > 0 && html`
        <h4>Boards on wires and on Bluetooth</h4>
        <ul>${boards.map((board, i) => html`
          <li key=${i}><strong>${board.name}</strong> ${board.section === "ble" ? "on Bluetooth" : "on a serial port"}, ${board.protocol}: ${listOf(board.features)}
            ${board.problem && html` <span class="warn">${board.problem}</span>`}</li>`)}</ul>`}
      ${names.length > 0 && html`
        <h4>Devices that connect by themselves</h4>
        <ul>${names.map((one, i) => html`<li key=${i}><strong>${one.name}</strong>, ${one.protocol}: ${listOf(one.features)}</li>`)}</ul>`}
      ${devices.length > 0 && html`
        <h4>Settings of single devices</h4>
        <ul>${devices.map((device, i) => html`
          <li key=${i}><strong>${device.display_name ?? device.address}</strong>, ${device.protocol}: ${listOf(device.features)}
            ${device.deny && ", denied"}${device.allow && ", allowed"}</li>`)}</ul>`}
      ${boards.length + names.length + devices.length === 0 && html`<p class="warn">It describes no device.</p>`}
      ${refused.length > 0 && html`
        <p class="warn">The file that is in use now also admits ${refused.join(", ")}. This one does not: such devices will be refused.</p>`}
      <p class="quiet">${file ? html`It becomes <code>${file}</code>.` : ""} ${replaces && "The file that is there now is kept as a backup."}</p>
      <p class="buttons">
        <button type="button" class="act" disabled=${!connected.value || busy} onClick=${use}>Use this file</button>
        <button type="button" class="act" disabled=${busy} onClick=${cancel}>Cancel</button>
      </p>
    </section>
  `;
}
