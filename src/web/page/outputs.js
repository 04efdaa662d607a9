// The outputs of a device as this page commands them: one command under way for each, the newest next. The module has
// no drawing in it; tryit.js shows it.

import { batch, effect, signal } from "@preact/signals";
import { DeviceOutputCommand, InputType, OutputType } from "buttplug";
import { answered } from "./client.js";
import { stopRequests } from "./stop.js";

/** How long after the last command the gateway's own word on what runs is waited for, in milliseconds. */
export const SETTLE = 700;

class Output {
  constructor(device, feature, { type, valueRange, durationRange }) {
    this.device = device;
    this.feature = feature;
    this.type = type;
    [this.min, this.max] = valueRange;
    this.duration = type === OutputType.HwPositionWithDuration ? { range: durationRange, value: signal(500) } : null;
    /** A stroker: what it is set to is a place, and no place is rest. */
    this.isPosition = type === OutputType.Position || type === OutputType.HwPositionWithDuration;
    this.rest = this.isPosition ? Math.round((this.min + this.max) / 2) : Math.min(Math.max(0, this.min), this.max);
    /** Where the slider stands. */
    this.thumb = signal(this.rest);
    /** What this page set and still holds, or null. */
    this.value = signal(null);
    /** How long the last command took, in milliseconds, or what went wrong. */
    this.took = signal(null);
    this.problem = signal(null);
    this.held = false;
    this.ignored = false;
    this.next = null;
    this.busy = false;
    this.sentAt = 0;
  }

  /** The finger moved the slider. */
  move(value) {
    if (this.ignored) return;
    batch(() => {
      this.thumb.value = value;
      this.value.value = value;
    });
    this.next = value;
    if (!this.busy) this.#send();
  }

  hold() {
    this.held = true;
  }

  release() {
    this.held = false;
    if (this.ignored) {
      this.ignored = false;
      this.#letGo();
    }
  }

  /** Something else stopped it or took over: nothing of ours is in force any more. */
  letGo() {
    if (this.held || this.value.peek() === null || this.value.peek() === 0) return;
    this.#letGo();
  }

  /** Stop was pressed. A slider still under a finger is dead until the finger leaves it. */
  stopped() {
    this.next = null;
    this.ignored = this.held;
    this.#letGo();
  }

  #letGo() {
    batch(() => {
      this.value.value = null;
      this.problem.value = null;
      // A stroker stays where it is; everything else is at rest. A slider under a finger is never moved.
      if (!this.isPosition && !this.held) this.thumb.value = this.rest;
    });
  }

  get settled() {
    return !this.busy && performance.now() - this.sentAt >= SETTLE;
  }

  async #send() {
    this.busy = true;
    while (this.next !== null) {
      const value = this.next;
      this.next = null;
      const begun = performance.now();
      try {
        const duration = this.duration ? clamp(this.duration.value.peek(), this.duration.range) : undefined;
        await answered(this.feature.runOutput(DeviceOutputCommand.createValue(this.type, value, duration)));
        batch(() => {
          this.took.value = performance.now() - begun;
          this.problem.value = null;
        });
      } catch (error) {
        this.problem.value = error.message;
      }
      this.sentAt = performance.now();
    }
    this.busy = false;
  }
}

const clamp = (n, range) => (range ? Math.min(Math.max(n, range[0]), range[1]) : n);

class Controls {
  constructor(device, connection) {
    this.device = device;
    this.connection = connection;
    this.outputs = [];
    this.inputs = [];
    for (const feature of device.features.values()) {
      for (const output of feature.outputs.values()) this.outputs.push(new Output(device, feature, output));
      for (const input of feature.inputs.values()) this.inputs.push({ feature, ...input });
    }
  }

  stopped() {
    const busy = this.outputs.some((output) => output.busy);
    for (const output of this.outputs) output.stopped();
    // A command that is still under way could reach the device after the stop, which takes another road. This stop
    // takes the same road as that command, so it comes after it.
    if (busy) answered(this.device.stop()).catch(() => {});
  }

  /** The gateway says that this page does not drive, or that nothing runs: the sliders follow once that is settled. */
  letGo(force) {
    for (const output of this.outputs) {
      if (output.settled && (force || !output.isPosition)) output.letGo();
    }
  }
}

const known = new Map();

/** The controls of a device of the module: the same ones for as long as that connection of the device lasts. */
export function controlsOf(device, index, connection) {
  let controls = known.get(index);
  // The module keeps its object if a device is back before its list told that it had gone: so the connection counts too.
  if (controls?.device !== device || controls.connection !== connection) {
    controls = new Controls(device, connection);
    known.set(index, controls);
  }
  return controls;
}

/** Calls `of(index)` for each device whose sliders should let go when stop is pressed. */
export function followStop(indexOf) {
  let times = stopRequests.peek().times;
  effect(() => {
    const request = stopRequests.value;
    if (request.times === times) return;
    times = request.times;
    const only = request.address === null ? null : indexOf(request.address);
    for (const [index, controls] of known) if (only === null || only === index) controls.stopped();
  });
}

const UNITS = { [InputType.Battery]: " %", [InputType.RSSI]: " dBm" };
export const unitOf = (type) => UNITS[type] ?? "";
