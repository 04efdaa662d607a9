// The frames of the watched device, as they are kept: bounded while they run, and not trimmed while they are paused.
// No drawing in here; watch.js shows it.

import { signal } from "@preact/signals";

/** How many lines are kept while the log runs. */
const KEPT = 20000;
/** Matching lines have a bound of their own, so that what the filter hides does not push them out. */
const KEPT_MATCHES = 5000;
/** While paused nothing is trimmed; past this the newest are counted and not kept, so that a forgotten tab does not eat the memory. */
const KEPT_PAUSED = 500000;

export class FrameLog {
  constructor() {
    this.lines = [];
    this.matching = this.lines;
    this.filter = "";
    this.paused = signal(false);
    /** How many frames came since the pause, and how many of them could not be kept. */
    this.came = signal(0);
    this.lost = signal(0);
    /** Changes whenever there is something new to draw. */
    this.version = signal(0);
    this.serial = 0;
    this.frozen = null;
  }

  add(lines) {
    let frames = 0;
    let kept = 0;
    for (const line of lines) {
      if (line.hex !== undefined) frames++;
      if (this.paused.peek() && this.lines.length >= KEPT_PAUSED) continue;
      line.serial = ++this.serial;
      kept++;
      this.lines.push(line);
      if (this.filter && this.#matches(line)) this.matching.push(line);
    }
    if (this.paused.peek()) {
      this.came.value += frames;
      this.lost.value += lines.length - kept;
      return;
    }
    this.#trim();
    this.version.value++;
  }

  /** A mark of our own in the log. */
  note(text) {
    this.add([{ at: Date.now() / 1000, note: text }]);
  }

  setFilter(text) {
    this.filter = text.trim().toLowerCase();
    this.hexFilter = this.filter.replace(/\s/g, "");
    this.#select();
    this.version.value++;
  }

  pause() {
    this.came.value = 0;
    this.lost.value = 0;
    this.frozen = this.serial;
    this.paused.value = true;
  }

  resume() {
    if (this.lost.peek()) this.lines.push({ serial: ++this.serial, at: Date.now() / 1000, missed: this.lost.peek() });
    this.frozen = null;
    this.paused.value = false;
    this.#trim();
    this.#select();
    this.version.value++;
  }

  clear() {
    this.lines = [];
    this.#select();
    this.came.value = 0;
    this.version.value++;
  }

  /** What is shown: what matches, up to the pause. */
  shown() {
    if (this.frozen === null) return this.matching;
    let end = this.matching.length;
    // Lines are in order of their serial: halve until the first one after the pause is found.
    let start = 0;
    while (start < end) {
      const middle = (start + end) >> 1;
      if (this.matching[middle].serial <= this.frozen) start = middle + 1;
      else end = middle;
    }
    return this.matching.slice(0, start);
  }

  #matches(line) {
    // What is not a frame says that something is missing or began: it is never filtered out.
    if (line.hex === undefined) return true;
    return line.text.toLowerCase().includes(this.filter) || (this.hexFilter !== "" && line.hex.includes(this.hexFilter));
  }

  #select() {
    this.matching = this.filter ? this.lines.filter((line) => this.#matches(line)) : this.lines;
  }

  #trim() {
    // A quarter at a time: moving the whole list at each line would cost more than the drawing.
    const over = (list, bound) => (list.length > bound * 1.25 ? list.splice(0, list.length - bound) : null);
    over(this.lines, KEPT);
    if (this.matching !== this.lines) over(this.matching, KEPT_MATCHES);
  }
}
