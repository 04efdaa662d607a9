// A board that has no firmware yet: the commands that write it and set up its Wi-Fi, and the board once it appears. The page does
// not write it itself: esp-web-tools 10.4 makes a Trusted Types policy and sets styles inline, which the page's policy forbids.

import { useEffect, useRef } from "preact/hooks";
import { useComputed, useSignal } from "@preact/signals";
import { html, sentence } from "./html.js";
import { useFact } from "./facts.js";
import { entries, entryOf, gateway } from "./live.js";
import { deviceName } from "./names.js";
import { deviceLink } from "./route.js";

/** The fragment that leads to the steps, and names their heading: the browser goes there by itself. */
const PLACE = "/boards/new";
export const newBoardLink = `#${PLACE}`;

const MAKE_IMAGES = "rustup target add riscv32imc-unknown-none-elf riscv32imac-unknown-none-elf\nfirmware/build all";
const STROKER = "--device tcode --pins 'V0=4 L0=6'";

const LOOPBACK = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/;
const EVERY_ADDRESS = ["0.0.0.0", "[::]"];

/** Where boards reach the gateway: the port, whether the network can, and at which host, unless only its own computer knows. */
function reach(urls) {
  const all = urls.map((url) => new URL(url));
  const reachable = all.find(({ hostname }) => !LOOPBACK.test(hostname));
  // Of the scheme's own port, a URL has no port.
  const one = reachable ?? all[0];
  const port = one.port || (one.protocol === "wss:" ? "443" : "80");
  if (!reachable) return { port, isOpen: false, host: null };
  if (!EVERY_ADDRESS.includes(reachable.hostname)) return { port, isOpen: true, host: reachable.hostname };
  return { port, isOpen: true, host: LOOPBACK.test(location.hostname) ? null : location.hostname };
}

export function NewBoard() {
  const heading = useRef(null);
  useEffect(() => {
    // After the view's heading took the focus.
    const timer = location.hash === newBoardLink && setTimeout(() => heading.current?.focus());
    return () => clearTimeout(timer);
  }, []);
  return html`
    <section class="boards newboard" aria-labelledby=${PLACE}>
      <h2 id=${PLACE} ref=${heading} tabindex="-1">A new ESP32-C3 or C6</h2>
      ${gateway.value && html`<${Steps} about=${gateway.value} />`}
    </section>
  `;
}

function Steps({ about: { devices, announces, needs_token: needsToken, fingerprint } }) {
  const { port, isOpen, host } = reach(devices);
  const address = `${host ?? "ADDRESS"}:${port}`;
  const where = announces ? "" : ` --gateway ${address}`;
  const flash = `wsdm-gateway flash${where}${fingerprint ? ` --fingerprint ${fingerprint}` : ""}`;
  return html`
    <p class="quiet">Its firmware and its Wi-Fi, by commands in a terminal on the computer that the board is plugged into. If the
      program is not installed, write <code>cargo run --release --</code> in place of <code>wsdm-gateway</code>, in the project's folder.</p>
    <ol class="steps">
      ${!isOpen && html`
        <li>
          <p><strong>Let boards in.</strong> This gateway listens on its own computer only, where no board on Wi-Fi reaches it. Stop it, and start it again
            with this flag, besides those that you use:</p>
          <${Command} text=${`wsdm-gateway run --device-listen 0.0.0.0:${port}`} />
          <p class="quiet">Anyone on the network can then be a device;${" "}
            ${needsToken ? "the token keeps others out." : html`<code>--device-token</code> keeps others out.`}</p>
        </li>`}
      <li>
        <p><strong>Make the firmware,</strong> once, in the project's folder on Linux; it takes some minutes, and needs Rust and Python 3:</p>
        <${Command} text=${MAKE_IMAGES} />
      </li>
      <li>
        <p><strong>Flash the board.</strong> Switch the motors' supply off, plug the board in by USB, and in a second terminal:</p>
        <${Command} text=${flash} />
        <p>Or, for a stroker:</p>
        <${Command} text=${`${flash} ${STROKER}`} />
        <p>Both ask for the name of the Wi-Fi (2.4 GHz) and its password${needsToken && ", and for the token: that of this gateway, for devices"}. Press Enter at everything else.${" "}
          ${announces && html`The board searches for the gateway; in a network without mDNS, add <code>--gateway ${address}</code>.`}
          ${fingerprint && html` With the fingerprint of this gateway's certificate it speaks TLS, and to no other gateway.`}
          ${host === null && html` <code>ADDRESS</code> is that of the gateway's computer in your network, such as <code>192.168.1.20</code>.`}</p>
      </li>
      <li>
        <p><strong>Wait for it.</strong> The command ends with <code>the board is there</code>, and the board appears here:</p>
        <${Arrivals} />
        <p class="quiet">If it does not appear: the firewall of the gateway's computer has to let in TCP port ${port}${announces && ", and UDP port 5353 for boards that search"}.</p>
      </li>
    </ol>
    <p class="quiet">An ESP32, S2, S3 or ESP8266 is programmed with the Arduino IDE: <code>firmware/docs/boards/esp32.md</code> and${" "}
      <code>esp8266.md</code> have the steps. Then its Serial Monitor gives it the Wi-Fi, or, in Chrome or Edge, a web page that speaks Improv
      does, such as <code>www.improv-wifi.com</code>. It appears here too.${" "}
      ${fingerprint && html`Before that, all but the ESP8266, which has no TLS, need <code>${`set fingerprint ${fingerprint}`}</code>, then <code>save</code>${" "}
        and <code>restart</code>, in the Serial Monitor. `}An Uno or Nano stays on its cable: <code>uno.md</code>, then${" "}
      <em>Bridge this</em> above.</p>
  `;
}

/** A command, and a button that copies it if the browser lets the page: on loopback, or by https. */
function Command({ text }) {
  const outcome = useSignal("");
  const copy = async () => {
    const copied = await navigator.clipboard.writeText(text).then(() => true, () => false);
    outcome.value = copied ? "Copied." : "The browser does not let the page copy.";
  };
  return html`
    <div class="command">
      <pre tabindex="0">${text}</pre>
      ${isSecureContext && html`<button type="button" class="act" onClick=${copy} aria-label=${`Copy ${text}`}>Copy</button> <span class="quiet" role="status">${outcome}</span>`}
    </div>
  `;
}

/** Whether a device on Wi-Fi came in, or was refused, since it was like this; `before` is undefined for one that was not in the list. */
function isNews(device, before) {
  if (device.way !== "ws") return false;
  if (device.state === "refused") return before === undefined || before.since < device.since;
  return hasArrived(device) && !(before && hasArrived(before));
}

const hasArrived = ({ state }) => state === "ready" || state === "relayed";

/** The boards that appeared since this is shown. */
function Arrivals() {
  const before = useRef(null);
  const addresses = useComputed(() => {
    // Before the gateway said what there is, nothing is new.
    if (gateway.value === null) return "[]";
    before.current ??= new Map(entries.value.map(({ address, device }) => [address, device.peek()]));
    const news = entries.value.filter(({ address, device }) => isNews(device.value, before.current.get(address)));
    return JSON.stringify(news.map(({ address }) => address));
  });
  const news = JSON.parse(addresses.value).map(entryOf).filter(Boolean);
  return html`
    <div role="status" aria-label="New boards">
      ${news.length === 0 && html`<p class="quiet">None yet.</p>`}
      ${news.map((entry) => html`<${Arrived} key=${entry.key} entry=${entry} />`)}
    </div>
  `;
}

function Arrived({ entry }) {
  const name = useFact(entry, deviceName);
  const state = useFact(entry, (d) => d.state).value;
  const reason = useFact(entry, (d) => d.reason).value;
  if (state === "refused") {
    return html`<p class="warn">A board was refused: ${name} ${entry.address}${reason && html`, ${sentence(reason)}`}. <a href="#/devices">Let it in under Devices</a></p>`;
  }
  const [pane, label] = state === "relayed" ? ["watch", "Watch"] : ["try", "Try it"];
  return html`<p class="arrived"><strong>A board has appeared:</strong> ${name} <small>${entry.address}</small>${" "}
    <a class="act" href=${deviceLink(entry.address, pane)} aria-label=${`${label}: ${name.value}, ${entry.address}`}>${label}</a></p>`;
}
