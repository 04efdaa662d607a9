// Frames a second: counted once a second for every device, drawn on a small canvas for those in view.

import { useEffect, useRef } from "preact/hooks";
import { batch, useComputed } from "@preact/signals";
import { html } from "./html.js";
import { count } from "./format.js";
import { entries } from "./live.js";

const SECONDS = 60;
const drawn = new Map();
const inView = new IntersectionObserver((changes) => {
  for (const { target, isIntersecting } of changes) {
    const spark = drawn.get(target);
    if (!spark) continue;
    spark.visible = isIntersecting;
    if (isIntersecting) draw(target, spark);
  }
});

let sampledAt = performance.now();

export function startSampling() {
  setInterval(() => {
    const at = performance.now();
    const seconds = (at - sampledAt) / 1000;
    sampledAt = at;
    batch(() => entries.value.forEach((entry) => sample(entry, seconds)));
    for (const [canvas, spark] of drawn) if (spark.visible) draw(canvas, spark);
  }, 1000);
}

function sample(entry, seconds) {
  const device = entry.device.peek();
  const total = device.to_device + device.from_device;
  if (entry.total !== null) {
    // A device that came back counts from zero again.
    const frames = total >= entry.total ? total - entry.total : total;
    const rate = frames / seconds;
    entry.rates.push(rate);
    if (entry.rates.length > SECONDS) entry.rates.shift();
    entry.rate.value = rate;
  }
  entry.total = total;
}

function draw(canvas, { entry }) {
  const scale = devicePixelRatio || 1;
  const width = canvas.clientWidth;
  const height = canvas.clientHeight;
  if (width === 0) return;
  if (canvas.width !== Math.round(width * scale)) {
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
  }
  const pen = canvas.getContext("2d");
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  pen.clearRect(0, 0, width, height);
  const { rates } = entry;
  const top = Math.max(1, ...rates);
  const x = (i) => width - ((rates.length - 1 - i) * width) / (SECONDS - 1);
  const y = (rate) => height - 1.5 - (rate / top) * (height - 4);
  const color = getComputedStyle(canvas).color;
  pen.fillStyle = color;
  pen.globalAlpha = 0.25;
  pen.fillRect(0, height - 1, width, 1);
  pen.globalAlpha = 1;
  pen.beginPath();
  rates.forEach((rate, i) => pen.lineTo(x(i), y(rate)));
  pen.strokeStyle = color;
  pen.lineWidth = 1.25;
  pen.lineJoin = "round";
  pen.stroke();
  if (rates.length > 1) {
    pen.lineTo(x(rates.length - 1), height);
    pen.lineTo(x(0), height);
    pen.globalAlpha = 0.14;
    pen.fill();
    pen.globalAlpha = 1;
  }
}

/** The curve of the last minute, with the newest figure beside it. */
export function Spark({ entry }) {
  const canvas = useRef(null);
  useEffect(() => {
    const element = canvas.current;
    drawn.set(element, { entry, visible: false });
    inView.observe(element);
    return () => {
      inView.unobserve(element);
      drawn.delete(element);
    };
  }, [entry]);
  const text = useComputed(() => {
    const rate = entry.rate.value;
    if (rate === null) return "–";
    return rate > 0 && rate < 1 ? "<1/s" : `${count(Math.round(rate))}/s`;
  });
  return html`<span class="spark"><canvas ref=${canvas} aria-hidden="true"></canvas><span class="rate">${text}</span></span>`;
}
