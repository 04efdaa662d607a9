// What the UDCF says of one device: its name and index, whether it may connect, and the limits of its outputs. The form
// is a draft until it is saved; only what differs from the file is sent.

import { useEffect } from "preact/hooks";
import { batch, useSignal, useSignalEffect } from "@preact/signals";
import { html, sentence } from "./html.js";
import { ask } from "./api.js";
import { Axes } from "./axes.js";
import { useFact } from "./facts.js";
import { percent, plural } from "./format.js";
import { connected } from "./live.js";
import { Result } from "./result.js";

const KINDS = {
  vibrate: "Vibrate",
  rotate: "Rotate",
  oscillate: "Oscillate",
  constrict: "Constrict",
  temperature: "Temperature",
  led: "Light",
  spray: "Spray",
  position: "Position",
  hw_position_with_duration: "Position",
};

/** "Vibrate", or "Position: Stroke" */
function limitName({ kinds, description, feature }, limits) {
  const kind = KINDS[kinds[0]] ?? kinds[0];
  if (description) return `${kind}: ${description}`;
  const alike = limits.filter((other) => (KINDS[other.kinds[0]] ?? other.kinds[0]) === kind);
  return alike.length > 1 ? `${kind}, feature ${feature}` : kind;
}

export function Configure({ entry }) {
  const path = `/api/udcf/devices/${encodeURIComponent(entry.address)}`;
  const shown = useSignal(null);
  const problem = useSignal(null);
  const load = async () => {
    const { answer, problem: why } = await ask("GET", path);
    batch(() => {
      if (answer) shown.value = answer;
      problem.value = why ?? null;
    });
  };
  // What can be set depends on what the device is found to be.
  const connection = useFact(entry, (d) => `${d.state} ${d.connection}`);
  useSignalEffect(() => {
    if (connected.value && connection.value) load();
  });
  if (!shown.value) return html`<p class=${problem.value ? "note problem" : "note"} role="status">${problem.value ? sentence(problem.value) : "Reading the file…"}</p>`;
  const { migration, file, entry: settings } = shown.value;
  return html`
    ${problem.value && html`<p class="problem" role="alert">${sentence(problem.value)}</p>`}
    ${migration && html`<${Migration} migration=${migration} file=${file} done=${load} />`}
    <${Form} path=${path} shown=${shown.value} load=${load} />
    ${!migration && settings.protocol === "tcode-v03" && settings.identifier && html`<${Axes} key=${settings.identifier} identifier=${settings.identifier} saved=${load} />`}
  `;
}

function Migration({ migration: { version, summary, warnings }, file, done }) {
  const problem = useSignal(null);
  const busy = useSignal(false);
  const migrate = async () => {
    busy.value = true;
    problem.value = (await ask("POST", "/api/udcf/migrate", { dry_run: false })).problem ?? null;
    busy.value = false;
    if (!problem.value) done();
  };
  return html`
    <section class="note" aria-labelledby="h-migration">
      <h3 id="h-migration">This file is of version ${version}</h3>
      <p>Single devices are configured in version 5. What migrating <code>${file}</code> does:</p>
      <p>${sentence(summary)}</p>
      ${warnings.length > 0 && html`<ul>${warnings.map((warning) => html`<li key=${warning}>${sentence(warning)}</li>`)}</ul>`}
      <p class="buttons"><button type="button" class="act" disabled=${!connected.value || busy.value} onClick=${migrate}>Migrate the file</button>
        <small class="quiet">The old file is kept beside it.</small></p>
      ${problem.value && html`<p class="problem" role="alert">${sentence(problem.value)}</p>`}
    </section>
  `;
}

/** What the form has, of what the file says. */
const draftOf = ({ display_name, allow, deny, index, limits }) => ({
  display_name: display_name ?? "",
  allow,
  deny,
  index: index ?? "",
  limits: limits.map(({ feature, kinds, low, high, is_off, is_reversed }) => ({ feature, kind: kinds[0], low, high, is_off, is_reversed })),
});

/** What a draft changes. */
function changeOf(draft, entry) {
  const before = draftOf(entry);
  const change = {};
  for (const key of ["display_name", "allow", "deny", "index"]) {
    if (draft[key] !== before[key]) change[key] = draft[key];
  }
  const limits = [];
  draft.limits.forEach((limit, i) => {
    const differs = ["low", "high", "is_off", "is_reversed"].filter((key) => limit[key] !== before.limits[i][key]);
    if (differs.length === 0) return;
    limits.push({ feature: limit.feature, kind: limit.kind, ...Object.fromEntries(differs.map((key) => [key, limit[key]])) });
  });
  if (limits.length > 0) change.limits = limits;
  return change;
}

function Form({ path, shown: { entry, file, migration }, load }) {
  const draft = useSignal(draftOf(entry));
  const result = useSignal(null);
  const problem = useSignal(null);
  const busy = useSignal(false);
  // A new answer replaces the draft: it came after a save, or the device is another one now.
  useEffect(() => {
    draft.value = draftOf(entry);
  }, [JSON.stringify(entry)]);
  // For one drawing the draft may still be of the device before.
  const now = draft.value.limits.length === entry.limits.length ? draft.value : draftOf(entry);
  const set = (key, value) => {
    draft.value = { ...now, [key]: value };
    result.value = null;
  };
  const setIndex = (index) => set("index", Number.isNaN(index) ? (entry.index ?? "") : index);
  const setLimit = (i, limit) => set("limits", now.limits.map((other, at) => (at === i ? limit : other)));
  const change = changeOf(now, entry);
  const changes = Object.keys(change).length;
  const save = async (event) => {
    event.preventDefault();
    busy.value = true;
    const { answer, problem: why } = await ask("PUT", path, change);
    if (answer) await load();
    batch(() => {
      busy.value = false;
      problem.value = why ?? null;
      result.value = answer ?? null;
    });
  };
  const known = entry.identifier !== null;
  const others = entry.allowed.filter((address) => address !== decodeURIComponent(path.split("/").at(-1)));
  return html`
    <form class="configure" onSubmit=${save} aria-label="Settings of this device">
      <fieldset disabled=${Boolean(migration)}>
        <p class="quiet">Protocol <code>${entry.protocol}</code>${entry.identifier && html`, ${entry.name} (<code>${entry.identifier}</code>)`}.
          ${" "}${entry.is_in_file ? "Its entry is in" : "It has no entry yet; saving makes one in"} <code>${file ?? "a new file"}</code>.</p>
        ${known
          ? html`<div class="fields">
              <div><label for="display-name">Name</label>
                <input type="text" id="display-name" maxlength="100" autocomplete="off" placeholder=${entry.name} value=${now.display_name} onInput=${(event) => set("display_name", event.currentTarget.value)} />
                <small class="quiet">Apps show it. Left empty: ${entry.name}.</small></div>
              <div><label for="device-index">Index</label>
                <input type="number" id="device-index" min="0" max="4294967295" step="1" value=${now.index} onInput=${(event) => setIndex(event.currentTarget.valueAsNumber)} />
                <small class="quiet">Apps know the device by this number.</small></div>
            </div>`
          : html`<p class="note">Its model is not known before it connects. Its name and limits can be set then.</p>`}
        <div class="checks">
          <label><input type="checkbox" checked=${now.deny} onChange=${(event) => set("deny", event.currentTarget.checked)} /> Deny: it may not connect</label>
          <label><input type="checkbox" checked=${now.allow} onChange=${(event) => set("allow", event.currentTarget.checked)} /> Allow: as soon as one device is allowed, all others are refused</label>
          <small class=${now.allow && others.length === 0 ? "warn" : "quiet"}>${
            others.length > 0 ? `Allowed besides it: ${others.slice(0, 5).join(", ")}${others.length > 5 ? ` and ${others.length - 5} more` : ""}.` : now.allow ? "It will be the only device that may connect." : "No other device is on the list."
          }</small>
        </div>
        ${now.limits.map((limit, i) => html`<${Limit} key=${`${limit.feature} ${limit.kind}`} id=${`limit-${i}`} defined=${entry.limits[i]} name=${limitName(entry.limits[i], entry.limits)} limit=${limit} set=${(to) => setLimit(i, to)} />`)}
        <p class="buttons">
          <button type="submit" class="act" disabled=${!connected.value || busy.value || changes === 0}>Save</button>
          <button type="button" class="act" disabled=${changes === 0} onClick=${() => (draft.value = draftOf(entry))}>Discard</button>
          <small class="quiet">${changes === 0 ? "Nothing is changed." : `${plural(changes, "change is", "changes are")} not saved.`}</small>
        </p>
      </fieldset>
      ${problem.value && html`<p class="problem" role="alert">${sentence(problem.value)}</p>`}
      <div role="status">${result.value && html`<${Result} changed=${result.value} />`}</div>
    </form>
  `;
}

function Limit({ id, defined: { full, is_signed, is_reversed }, name, limit, set }) {
  const level = is_reversed === null;
  const text = (at) => `${at} of ${full}, ${percent(at / full)}`;
  const move = (event, to) => {
    // The ends never cross; the one that is held gives way.
    const { low, high } = to(event.currentTarget.valueAsNumber);
    set({ ...limit, low, high });
    event.currentTarget.value = event.currentTarget.name === "low" ? low : high;
  };
  const ends = [
    { key: "low", label: "Lowest", to: (at) => ({ low: Math.min(at, limit.high - 1), high: limit.high }) },
    { key: "high", label: "Highest", to: (at) => ({ low: limit.low, high: Math.max(at, limit.low + 1) }) },
  ];
  return html`
    <fieldset class="limit">
      <legend>${name}</legend>
      ${ends.map(({ key, label, to }) => html`
        <label key=${key} for=${`${id}-${key}`}>${label}</label>
        <input type="range" id=${`${id}-${key}`} name=${key} min="0" max=${full} step="1" value=${limit[key]} disabled=${limit.is_off}
          aria-label=${`${label}: ${name}`} aria-valuetext=${text(limit[key])} onInput=${(event) => move(event, to)} />
        <output for=${`${id}-${key}`}>${text(limit[key])}</output>`)}
      <div class="checks">
        <label><input type="checkbox" checked=${limit.is_off} onChange=${(event) => set({ ...limit, is_off: event.currentTarget.checked })} aria-label=${`Off: ${name}`} /> Off</label>
        ${!level && html`<label><input type="checkbox" checked=${limit.is_reversed} onChange=${(event) => set({ ...limit, is_reversed: event.currentTarget.checked })} aria-label=${`Reversed: ${name}`} /> Reversed</label>`}
        <small class="quiet">${level ? (is_signed ? "In both directions; 0 is always still." : "0 is always off; what is above it begins above the lowest.") : "The stroke stays between the two."}</small>
      </div>
    </fieldset>
  `;
}
