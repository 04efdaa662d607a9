// Try it: a slider for each output and a reading of each input, through the Buttplug server in the gateway, so that
// what happens here is what happens with an app.

import { useEffect, useRef } from "preact/hooks";
import { computed, useComputed, useSignal, useSignalEffect } from "@preact/signals";
import { InputCommandType } from "buttplug";
import { html } from "./html.js";
import { answered, listed, openSession, session } from "./client.js";
import { useFact } from "./facts.js";
import { connected, entryOf, gateway } from "./live.js";
import { driverName, isThisPage } from "./names.js";
import { controlsOf, followStop, SETTLE, unitOf } from "./outputs.js";
import { stop } from "./stop.js";

const OUTPUT_NAMES = {
  HwPositionWithDuration: "Position over time",
  Led: "Light",
};
/** How often a reading that has to be asked for is asked for, in milliseconds. */
const READ_EVERY = 15000;

followStop((address) => entryOf(address)?.device.peek().index ?? -1);

const usable = computed(() => connected.value && session.value === "up");

export function TryIt({ entry }) {
  const index = useFact(entry, (d) => (d.state === "ready" ? d.index : null)).value;
  const state = useFact(entry, (d) => d.state).value;
  const connection = useFact(entry, (d) => d.connection).value;
  const upstream = gateway.value?.upstream;
  useEffect(() => {
    if (!upstream) openSession();
  }, [upstream]);
  if (upstream) {
    return html`<p class="note">This gateway passes everything on to <code>${upstream}</code>. It has no Buttplug server inside, so no sliders:
      what the device can do is known there only. Frames can be watched and sent under Watch.</p>`;
  }
  const device = index === null ? undefined : listed.value.get(index);
  if (!device) return html`<p class="note" role="status">${whyNot(state, index)}</p>`;
  return html`<${Panel} key=${`${index} ${connection}`} entry=${entry} controls=${controlsOf(device, index, connection)} />`;
}

function whyNot(state, index) {
  if (state === "gone") return "The device has gone. Its sliders appear when it connects again.";
  if (state === "refused") return "The device was refused, so there is nothing to try yet.";
  if (state === "identifying") return "The gateway still asks the device what it is. It gets its own name and its sliders when it has answered.";
  if (state === "connecting" || index === null) return "The device is connecting. Its sliders appear when the Buttplug server has recognised it.";
  if (session.value === "failed") return "No Buttplug session with the gateway. Trying again…";
  return "Opening a Buttplug session with the gateway…";
}

function Panel({ entry, controls }) {
  useLettingGo(entry, controls);
  const { outputs, inputs } = controls;
  return html`
    <${WhoDrives} entry=${entry} />
    ${outputs.length === 0 && html`<p class="note">This device has no outputs.</p>`}
    ${outputs.map((output, i) => html`<${Slider} key=${i} output=${output} id=${`output-${i}`} label=${label(outputs, output)} />`)}
    ${outputs.length > 0 && html`<p class="near"><button type="button" class="stop-one" onClick=${() => stop(entry.address)}>Stop this device</button></p>`}
    ${inputs.length > 0 && html`<h3>Readings</h3>
      <dl class="readings">${inputs.map((input, i) => html`<${Reading} key=${i} input=${input} />`)}</dl>`}
  `;
}

/** The feature's own description. The module looks for it under the name that it had in older messages. */
const descriptionOf = (feature) => feature.descriptor ?? feature._feature?.FeatureDescription ?? "";

/** "Vibrate", or "Vibrate 2" where there are several, with the feature's own description. */
function label(outputs, output) {
  const alike = outputs.filter((other) => other.type === output.type);
  const name = OUTPUT_NAMES[output.type] ?? output.type;
  const numbered = alike.length > 1 ? `${name} ${alike.indexOf(output) + 1}` : name;
  const description = descriptionOf(output.feature);
  return description && description.toLowerCase() !== name.toLowerCase() ? `${numbered}: ${description}` : numbered;
}

/** Sliders go back to rest when something else drives, or when what they set was stopped elsewhere. */
function useLettingGo(entry, controls) {
  useSignalEffect(() => {
    const { driver, outputs_on } = entry.device.value;
    const taken = Boolean(driver) && !isThisPage(driver);
    if (!taken && outputs_on) return;
    controls.letGo(taken);
    // What we sent a moment ago may not be in the gateway's word yet: look again when it must be.
    const timer = setTimeout(() => controls.letGo(taken), SETTLE);
    return () => clearTimeout(timer);
  });
}

function WhoDrives({ entry }) {
  const text = useFact(entry, ({ driver }) => {
    if (!driver) return "Nothing drives this device now.";
    if (isThisPage(driver)) return "You drive this device from this page.";
    const from = driver.origin && driver.kind === "app" ? ` (${driver.origin})` : "";
    return `${driverName(driver)}${from} drives this device. Moving a slider takes over.`;
  });
  const other = useFact(entry, ({ driver }) => Boolean(driver) && !isThisPage(driver));
  return html`<p class=${other.value ? "note takes" : "note"} role="status">${text}</p>`;
}

function Slider({ output, id, label }) {
  const text = useComputed(() => {
    const value = output.value.value;
    return value === null ? "not set here" : `${value} of ${output.max}`;
  });
  const took = useComputed(() => {
    if (output.took.value !== null) return `answered in ${Math.round(output.took.value)} ms`;
    return output.isPosition && output.value.value === null ? "the first move goes straight to where the slider is" : "";
  });
  const hold = (event) => {
    const slider = event.currentTarget;
    output.hold();
    const release = () => {
      removeEventListener("pointerup", release);
      removeEventListener("pointercancel", release);
      output.release();
      // A finger that kept moving after stop moved the thumb alone: put it back.
      slider.value = output.thumb.peek();
    };
    // The finger may be lifted anywhere.
    addEventListener("pointerup", release);
    addEventListener("pointercancel", release);
  };
  const slider = useRef(null);
  useSignalEffect(() => {
    // The part of the track between rest (or the lower end) and the thumb is filled.
    const part = (n) => `${((n - output.min) / (output.max - output.min || 1)) * 100}%`;
    const zero = Math.min(Math.max(0, output.min), output.max);
    const at = output.thumb.value;
    slider.current.style.setProperty("--from", part(Math.min(zero, at)));
    slider.current.style.setProperty("--to", part(output.value.value === null ? Math.min(zero, at) : Math.max(zero, at)));
  });
  return html`
    <div class="output">
      <label for=${id}>${label}</label>
      <output for=${id}>${text}</output>
      <input type="range" ref=${slider} id=${id} min=${output.min} max=${output.max} step="1" value=${output.thumb} disabled=${!usable.value}
        aria-valuetext=${text}
        onInput=${(event) => output.move(event.currentTarget.valueAsNumber)} onPointerDown=${hold} />
      <span class="scale quiet" aria-hidden="true"><span>${output.min}</span><span>${took}</span><span>${output.max}</span></span>
      ${output.duration && html`<${Duration} output=${output} id=${`${id}-duration`} />`}
      ${output.problem.value && html`<p class="problem" role="alert">${output.problem}</p>`}
    </div>
  `;
}

function Duration({ output, id }) {
  const { range, value } = output.duration;
  return html`<span class="duration"><label for=${id}>within</label>
    <input type="number" id=${id} min=${range?.[0] ?? 0} max=${range?.[1]} step="50" value=${value}
      onChange=${(event) => event.currentTarget.validity.valid && (value.value = event.currentTarget.valueAsNumber)} /> ms</span>`;
}

function Reading({ input }) {
  const { feature, type, commands } = input;
  // The server sends a list of ranges where the module expects one range; either way the first two numbers are meant.
  const [lowest, highest] = input.valueRange.flat();
  const value = useSignal(null);
  const problem = useSignal(null);
  const alive = useRef(true);
  const take = (reading) => {
    if (!alive.current || !reading) return;
    value.value = reading.value;
    problem.value = null;
  };
  const read = () =>
    answered(feature.runInput(type, InputCommandType.Read)).then(take, (error) => {
      if (alive.current) problem.value = error.message;
    });
  useEffect(() => {
    alive.current = true;
    const pushed = (reading) => reading.inputType === type && take(reading);
    feature.on("inputreading", pushed);
    let timer = null;
    const subscribed = commands.includes(InputCommandType.Subscribe);
    if (subscribed) {
      answered(feature.runInput(type, InputCommandType.Subscribe)).catch((error) => {
        if (alive.current) problem.value = error.message;
      });
    } else if (commands.includes(InputCommandType.Read)) {
      read();
      timer = setInterval(read, READ_EVERY);
    }
    return () => {
      alive.current = false;
      feature.off("inputreading", pushed);
      clearInterval(timer);
      if (subscribed && usable.peek()) answered(feature.runInput(type, InputCommandType.Unsubscribe)).catch(() => {});
    };
  }, [feature]);
  const shown = useComputed(() => (value.value === null ? "–" : `${value.value}${unitOf(type)}`));
  const part = useComputed(() => Math.min(1, Math.max(0, ((value.value ?? lowest) - lowest) / (highest - lowest || 1))));
  const name = descriptionOf(feature) || type;
  return html`
    <div class="reading">
      <dt>${name}${name.toLowerCase().includes(type.toLowerCase()) ? "" : ` (${type.toLowerCase()})`}</dt>
      <dd><meter min="0" max="1" value=${part} aria-label=${name}></meter> <span class="value">${shown}</span>
        ${problem.value && html`<span class="problem" role="alert">${problem}</span>`}</dd>
    </div>
  `;
}
