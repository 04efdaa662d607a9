// Drives a firmware's Improv port with the client that web pages use, improv-wifi-serial-sdk.
//
//     node improv.mjs SDK STEPS -- PROGRAM [ARGUMENT...]
//
// SDK is the folder of that package, unpacked. PROGRAM's standard input and output are the serial port. STEPS is a list
// in JSON; each step is a list of its name and its arguments, and answers with one line of JSON that has its name as
// "step" and either its "value" or an "error":
//
//     ["initialize"]                 the device's information, with "state" and "nextUrl"
//     ["scan"]                       the networks
//     ["provision", SSID, PASSWORD]  "state" and "nextUrl"
//     ["state"]                      the same
//     ["network"]                    the state of the network
//     ["hostname", NAME]             sets a host name, which firmware may refuse
//     ["states"]                     every state that was reported since this was asked last
//     ["type", TEXT, END]            types on the console, and waits for END in what is not Improv's; all of that since
//     ["wait", END]                  waits for END without typing anything
//     ["raw", HEX]                   sends these bytes; the error state that follows
//     ["send", HEX]                  sends these bytes, and waits for nothing
//
// The exit code is 0 when all steps were taken, whether they succeeded or not; 1 when the program ended before, or a step
// took too long; 2 for a wrong command line.

import { spawn } from "node:child_process";
import { register } from "node:module";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";

const STEP_MS = 40_000;

const [sdk, json, separator, program, ...programArguments] = process.argv.slice(2);
let steps;
try {
  steps = JSON.parse(json);
} catch {
  steps = undefined;
}
if (separator !== "--" || program === undefined || !Array.isArray(steps)) {
  console.error("usage: node improv.mjs SDK STEPS -- PROGRAM [ARGUMENT...]");
  process.exit(2);
}

// The package is written for bundlers: its files are modules that do not say so, and import others without their ending.
const folder = pathToFileURL(resolve(sdk) + "/").href;
register(
  "data:text/javascript," +
    encodeURIComponent(`
      const folder = ${JSON.stringify(folder)};
      export async function resolve(specifier, context, next) {
        const isOurs = context.parentURL?.startsWith(folder) && specifier.startsWith(".");
        const full = isOurs && !specifier.endsWith(".js") ? specifier + ".js" : specifier;
        const found = await next(full, context);
        return found.url.startsWith(folder) ? { ...found, format: "module" } : found;
      }`),
);
// Browsers have it; Node does from version 19 on.
globalThis.CustomEvent ??= class extends Event {
  constructor(type, options) {
    super(type, options);
    this.detail = options?.detail ?? null;
  }
};
const { ImprovSerial } = await import(folder + "dist/serial.js");

/** What comes from the board and is not Improv's, as text: the console and the log. */
class Text {
  /** Each character is a byte. */
  text = "";
  #bytes = "";
  #changed = () => {};

  push(chunk) {
    this.#bytes += Buffer.from(chunk).toString("latin1");
    const header = "IMPROV\x01";
    for (;;) {
      const at = this.#bytes.indexOf(header);
      if (at < 0) {
        // The last bytes may begin a header.
        let kept = Math.min(header.length - 1, this.#bytes.length);
        while (kept > 0 && !header.startsWith(this.#bytes.slice(-kept))) kept--;
        this.#take(this.#bytes.length - kept);
        break;
      }
      this.#take(at);
      const frameBytes = 9 + this.#bytes.charCodeAt(8) + 1;
      if (this.#bytes.length < 9 || this.#bytes.length < frameBytes) break;
      this.#bytes = this.#bytes.slice(frameBytes);
    }
    this.#changed();
  }

  #take(count) {
    this.text += this.#bytes.slice(0, count);
    this.#bytes = this.#bytes.slice(count);
  }

  /** Everything up to and with `end`. */
  async until(end) {
    const bytes = Buffer.from(end).toString("latin1");
    for (;;) {
      const at = this.text.indexOf(bytes);
      if (at >= 0) {
        const taken = this.text.slice(0, at + bytes.length);
        this.text = this.text.slice(at + bytes.length);
        return Buffer.from(taken, "latin1").toString();
      }
      await new Promise((resolve) => (this.#changed = resolve));
    }
  }
}

const board = spawn(program, programArguments, { stdio: ["pipe", "pipe", "inherit"] });
const text = new Text();
// As a browser's SerialPort.
const port = {
  readable: new ReadableStream({
    start(controller) {
      board.stdout.on("data", (chunk) => {
        text.push(chunk);
        controller.enqueue(new Uint8Array(chunk));
      });
    },
  }),
  writable: new WritableStream({
    // A board that is gone says so by ending.
    write: (chunk) => new Promise((resolve) => board.stdin.write(chunk, () => resolve())),
  }),
};

/** Beside the client, which locks the port while it writes. */
const write = (bytes) => new Promise((resolve) => board.stdin.write(bytes, () => resolve()));

function finish(code) {
  board.removeAllListeners("exit");
  board.kill();
  process.exit(code);
}

board.on("error", (e) => {
  console.error(`${program}: ${e.message}`);
  process.exit(1);
});
board.on("exit", (code, signal) => {
  console.error(`${program} ended with ${signal ?? `code ${code}`}; it had printed:\n${text.text}`);
  process.exit(1);
});
board.stdin.on("error", () => {});

const quiet = { log() {}, debug() {}, error: (...what) => console.error("SDK:", ...what) };
const client = new ImprovSerial(port, quiet);
let states = [];
client.addEventListener("state-changed", (event) => states.push(event.detail));

const state = () => ({ state: client.state, nextUrl: client.nextUrl ?? null });

async function nextError(bytes) {
  const error = new Promise((resolve) =>
    client.addEventListener("error-changed", (event) => resolve(event.detail), { once: true }),
  );
  await write(bytes);
  return error;
}

const taken = {
  initialize: async () => ({ ...(await client.initialize(10_000)), ...state() }),
  scan: () => client.scan(),
  provision: async (ssid, password) => {
    await client.provision(ssid, password);
    return state();
  },
  state: async () => {
    await client.requestCurrentState();
    return state();
  },
  network: () => client.requestNetworkState(),
  hostname: (name) => client.setHostname(name),
  states: async () => {
    const seen = states;
    states = [];
    return seen;
  },
  type: async (typed, end) => {
    await write(Buffer.from(typed));
    return text.until(end);
  },
  wait: (end) => text.until(end),
  raw: (hex) => nextError(Buffer.from(hex, "hex")),
  send: async (hex) => {
    await write(Buffer.from(hex, "hex"));
    return null;
  },
};

for (const [step, ...given] of steps) {
  if (!(step in taken)) {
    console.error(`no step is called ${step}`);
    finish(2);
  }
  const late = setTimeout(() => {
    console.error(`${JSON.stringify([step, ...given])} took too long; the board had printed:\n${text.text}`);
    finish(1);
  }, STEP_MS);
  let answer;
  try {
    answer = { step, value: await taken[step](...given) };
  } catch (e) {
    answer = { step, error: e instanceof Error ? e.message : String(e) };
  }
  clearTimeout(late);
  console.log(JSON.stringify(answer));
}
finish(0);
