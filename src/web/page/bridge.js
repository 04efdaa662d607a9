// The forms that bridge a board: few questions, each with an answer that works for most boards.

import { useSignal } from "@preact/signals";
import { html } from "./html.js";
import { connected, endListening } from "./live.js";
import { Preview } from "./preview.js";

const PRESETS = [
  { id: "hello", label: "Anything: the board says who it is", baud: 115200, framing: "protocol" },
  { id: "tcode", label: "TCode: OSR, SR6, most strokers", baud: 115200, framing: "lf" },
  { id: "lovense", label: "Lovense text, own sketch", baud: 115200, framing: "semicolon" },
  { id: "lovense-module", label: "Lovense text behind HC-05 or HM-10", baud: 9600, framing: "semicolon" },
  { id: "arduino", label: "Arduino sketch that never changed its rate", baud: 9600, framing: "lf" },
  { id: "packets", label: "Binary packets", baud: 115200, framing: "idle" },
];

const BAUD_RATES = [9600, 19200, 38400, 57600, 115200, 230400, 250000, 460800, 500000, 921600, 1000000];
const DEFAULT_BAUD = 115200;

const FRAMINGS = {
  protocol: ["as its protocol has them", {}],
  lf: ["end with \\n", { "framing.delimiter": "\n" }],
  crlf: ["end with \\r\\n", { "framing.delimiter": "\r\n" }],
  semicolon: ["end with ;", { "framing.delimiter": ";" }],
  idle: ["end with a pause of 20 ms", { "framing.idle_ms": 20 }],
  length1: ["have their length before them, 1 byte", { "framing.length_prefix": 1 }],
  length2: ["have their length before them, 2 bytes", { "framing.length_prefix": 2 }],
  raw: ["are what is read at once", { "framing.raw": true }],
};

const PROFILES = { nus: "Nordic UART", hm10: "HM-10 and copies", lovense: "Lovense", ossm: "OSSM" };

/** A form control that follows a signal, with its label. */
function Choice({ id, label, value, options, onChange }) {
  return html`<div class="field"><label for=${id}>${label}</label>
    <select id=${id} value=${value} onChange=${(event) => { value.value = event.currentTarget.value; onChange?.(value.value); }}>
      ${options.map(([key, name]) => html`<option key=${key} value=${key}>${name}</option>`)}
    </select></div>`;
}

function Text({ id, label, value, hint, ...more }) {
  return html`<div class="field"><label for=${id}>${label}</label>
    <input id=${id} type="text" autocomplete="off" autocapitalize="off" spellcheck=${false} placeholder=${hint} ...${more}
      value=${value} onInput=${(event) => (value.value = event.currentTarget.value)} /></div>`;
}

const given = (keys, key, text) => (text.trim() === "" ? keys : { ...keys, [key]: text.trim() });

export function BridgePort({ port, bridge }) {
  const preset = useSignal("hello");
  const baud = useSignal(String(DEFAULT_BAUD));
  const framing = useSignal("protocol");
  const name = useSignal(port.lasting ?? port.path);
  const dtr = useSignal("system");
  const identifier = useSignal("");
  const address = useSignal("");
  const problem = useSignal(null);
  const choose = (id) => {
    const { baud: rate, framing: ends } = PRESETS.find((preset) => preset.id === id);
    baud.value = String(rate);
    framing.value = ends;
  };
  const submit = (event) => {
    event.preventDefault();
    const rate = Number(baud.value.trim());
    problem.value = Number.isInteger(rate) && rate > 0 ? null : "The baud rate is a whole number, such as 115200.";
    if (problem.value) return undefined;
    let keys = { port: name.value };
    if (rate !== DEFAULT_BAUD) keys.baud_rate = rate;
    if (dtr.value === "off") keys.dtr_on_open = false;
    Object.assign(keys, FRAMINGS[framing.value][1]);
    keys = given(given(keys, "identifier", identifier.value), "address", address.value);
    endListening();
    return bridge(`${port.product ?? port.path} is bridged.`, "serial", keys, [port.path, port.lasting]);
  };
  const names = [...(port.lasting ? [[port.lasting, "wherever it is plugged in"]] : []), [port.path, `whatever is at ${port.path}`]];
  return html`
    <form class="bridge" onSubmit=${submit} aria-label=${`Bridge ${port.path}`}>
      <${Choice} id="bridge-preset" label="What kind of board" value=${preset} onChange=${choose} options=${PRESETS.map(({ id, label }) => [id, label])} />
      <${Text} id="bridge-baud" label="Baud rate" value=${baud} hint=${DEFAULT_BAUD} inputmode="numeric" list="baud-rates" />
      <datalist id="baud-rates">${BAUD_RATES.map((rate) => html`<option key=${rate} value=${rate}></option>`)}</datalist>
      <${Choice} id="bridge-framing" label="Its frames" value=${framing} options=${Object.entries(FRAMINGS).map(([key, [name]]) => [key, name])} />
      <details>
        <summary>More</summary>
        <div class="fields">
          <${Choice} id="bridge-port" label="Bridge" value=${name} options=${names} />
          <${Choice} id="bridge-dtr" label="DTR when the port is opened" value=${dtr} options=${[["system", "as the system does"], ["off", "off: keeps many boards from restarting"]]} />
          <${Text} id="bridge-identifier" label="Identifier: what it is" value=${identifier} hint="the board says who it is" />
          <${Text} id="bridge-address" label="Address: which one it is" value=${address} hint="the board, its serial number or its port" />
        </div>
      </details>
      ${["free", "open"].includes(port.state) && html`<${Preview} path=${port.path} rate=${baud} rates=${BAUD_RATES} setRate=${(rate) => (baud.value = String(rate))} framing=${framing} />`}
      <p class="go"><button type="submit" class="act" disabled=${!connected.value}>Bridge</button>${" "}
        <span class="quiet">Opening a port restarts many boards. Nothing is sent before the board is known, except the questions that ask for it.</span></p>
      ${problem.value && html`<p role="alert" class="problem">${problem}</p>`}
    </form>
  `;
}

export function BridgePeripheral({ one, bridge }) {
  const profile = useSignal(one.profiles[0] ?? "nus");
  const by = useSignal(one.name ? "name" : "address");
  const identifier = useSignal("");
  const address = useSignal("");
  const submit = (event) => {
    event.preventDefault();
    const keys = { [by.value]: by.value === "name" ? one.name : one.address, profile: profile.value };
    return bridge(`${one.name ?? one.address} is bridged.`, "ble", given(given(keys, "identifier", identifier.value), "device_address", address.value), [one.address]);
  };
  const known = [...(one.name ? [["name", `its name, ${one.name}`]] : []), ["address", `its address, ${one.address}`]];
  const options = Object.entries(PROFILES).map(([key, name]) => [key, one.profiles.includes(key) ? `${name} (fits)` : name]);
  return html`
    <form class="bridge" onSubmit=${submit} aria-label=${`Bridge ${one.name ?? one.address}`}>
      <${Choice} id="bridge-profile" label="Its service" value=${profile} options=${options} />
      <${Choice} id="bridge-by" label="Known by" value=${by} options=${known} />
      <details>
        <summary>More</summary>
        <div class="fields">
          <${Text} id="bridge-identifier" label="Identifier: what it is" value=${identifier} hint="the board says who it is" />
          <${Text} id="bridge-address" label="Address: which one it is" value=${address} hint="the board, or its Bluetooth address" />
        </div>
      </details>
      <p class="go"><button type="submit" class="act" disabled=${!connected.value}>Bridge</button>${" "}
        ${one.profiles.length === 0 && html`<span class="quiet">No service that is known fits it. <code>wsdm-gateway scan --connect ${one.address}</code> shows what it has.</span>`}</p>
    </form>
  `;
}
