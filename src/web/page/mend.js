// What would let a refused device in, as a button in its row.

import { computed, signal, useComputed, useSignal } from "@preact/signals";
import { html, sentence } from "./html.js";
import { ask } from "./api.js";
import { useFact } from "./facts.js";
import { connected } from "./live.js";
import { isPresent } from "./names.js";
import { abilities, askProtocols, likely, ProtocolOptions } from "./protocols.js";

/** What was done about a device, by address: it outlasts the offer, which goes when the device comes in. */
const done = signal(new Map());

const remember = (address, what) => {
  const all = new Map(done.value);
  if (what) all.set(address, what);
  else all.delete(address);
  done.value = all;
};

/** Whether there is something to show for a device. */
export const hasMend = (entry) => computed(() => Boolean(entry.device.value.mend) || done.value.has(entry.address));

export function Mend({ entry }) {
  const outcome = useComputed(() => done.value.get(entry.address)).value;
  const offer = useFact(entry, (d) => d.mend && JSON.stringify(d.mend)).value;
  if (outcome) return html`<${Done} entry=${entry} outcome=${outcome} />`;
  if (!offer) return null;
  const mend = JSON.parse(offer);
  if (mend.kind === "add_name") return html`<${AddName} key=${mend.name} entry=${entry} mend=${mend} />`;
  return html`<${LetIn} entry=${entry} mend=${mend} />`;
}

function Done({ entry, outcome }) {
  const here = useFact(entry, isPresent).value;
  const { text, changed } = outcome;
  return html`
    <p class="mend done" role="status">
      <span>${sentence(text)} ${changed.file ? html`Written to <code>${changed.file}</code>.` : "The file has it already."}
        ${" "}${here ? "It is connected." : "It comes in when it connects again; most boards try by themselves."}</span>
      ${changed.warnings.map((warning) => html`<span key=${warning} class="warn">${warning}</span>`)}
      <button type="button" class="act" onClick=${() => remember(entry.address, null)} aria-label=${`Dismiss what was done about ${entry.address}`}>Dismiss</button>
    </p>
  `;
}

function AddName({ entry, mend: { name, protocol, nearest, is_model_letter, instead_of } }) {
  const problem = useSignal(null);
  const busy = useSignal(false);
  const picked = useSignal(null);
  const first = useComputed(() => likely(name, protocol));
  const chosen = useComputed(() => picked.value ?? first.value[0]);
  const can = useComputed(() => abilities(chosen.value));
  const id = `mend-${entry.key}`;
  const add = async (event) => {
    event.preventDefault();
    busy.value = true;
    const asked = { name, protocol: chosen.value };
    const { answer, problem: why } = await ask("POST", "/api/udcf/names", asked);
    busy.value = false;
    problem.value = why ?? null;
    if (answer) remember(entry.address, { text: `Added \`${name}\` as \`${asked.protocol}\`.`, changed: answer });
  };
  return html`
    <form class="mend" onSubmit=${add}>
      <label for=${id}>Protocol of <code>${name}</code></label>
      <select id=${id} value=${chosen} onFocus=${askProtocols} onPointerEnter=${askProtocols} onChange=${(event) => (picked.value = event.currentTarget.value)}>
        <${ProtocolOptions} first=${first.value} />
      </select>
      <button type="submit" class="act" disabled=${!connected.value || busy.value} aria-label=${`Add as ${chosen.value}: ${name}`}>Add as ${chosen}</button>
      <small class="quiet">${protocol && protocol === chosen.value && (instead_of ? `Did you mean ${protocol}? ` : "This is a protocol's name. ")}${can}
        ${nearest && !protocol && html` ${is_model_letter ? "It sent the letter of a model: better make it send" : "Or make it send"} <code>${nearest}</code>, which the file has.`}</small>
      ${problem.value && html`<span role="alert" class="problem">${sentence(problem.value)}</span>`}
    </form>
  `;
}

const LET_IN = {
  undeny: { label: "Let it in again", change: { deny: false }, text: "It is denied no more." },
  allow: { label: "Allow it too", change: { allow: true }, text: "It is allowed too." },
};

function LetIn({ entry, mend }) {
  const problem = useSignal(null);
  const busy = useSignal(false);
  const { label, change, text } = LET_IN[mend.kind] ?? {};
  if (!label) return null;
  const letIn = async () => {
    busy.value = true;
    const { answer, problem: why } = await ask("PUT", `/api/udcf/devices/${encodeURIComponent(entry.address)}`, change);
    busy.value = false;
    problem.value = why ?? null;
    if (answer) remember(entry.address, { text, changed: answer });
  };
  return html`<p class="mend">
    <button type="button" class="act" disabled=${!connected.value || busy.value} onClick=${letIn} aria-label=${`${label}: ${entry.address}`}>${label}</button>
    ${problem.value && html`<span role="alert" class="problem">${sentence(problem.value)}</span>`}
  </p>`;
}
