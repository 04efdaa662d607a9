// Web pages that want to be apps: one question each, under the bar, so that stop stays in reach. Nothing takes the focus.

import { useEffect } from "preact/hooks";
import { signal, useSignal } from "@preact/signals";
import { html } from "./html.js";
import { call } from "./api.js";
import { connected, questions } from "./live.js";

/** A question that appears under a finger must not be answered by it. */
const ARM_AFTER = 700;

/** Why the last answer failed; it outlasts the question. */
const problem = signal(null);

const ANSWERS = [
  { answer: "once", label: "Once" },
  { answer: "always", label: "Always" },
  { answer: "never", label: "Never" },
];

export function Questions() {
  return html`
    <div class="questions" aria-live="assertive">
      ${questions.value.map((question) => html`<${Question} key=${question.id} question=${question} />`)}
      ${problem.value && html`
        <p class="problem">${problem} <button type="button" class="act" onClick=${() => (problem.value = null)}>Dismiss</button></p>`}
    </div>
  `;
}

function Question({ question: { id, origin, peer } }) {
  const armed = useSignal(false);
  useEffect(() => {
    const timer = setTimeout(() => (armed.value = true), ARM_AFTER);
    return () => clearTimeout(timer);
  }, []);
  const say = async (answer) => {
    problem.value = await call("POST", `/api/questions/${id}`, { answer });
  };
  return html`
    <section class="question" role="alertdialog" aria-modal="false" aria-labelledby=${`question-${id}`}>
      <p id=${`question-${id}`}><strong>${origin}</strong> wants to control your devices</p>
      <small class="quiet">from ${peer}</small>
      <div class="answers">
        ${ANSWERS.map(({ answer, label }) => html`
          <button type="button" class="act" key=${answer} disabled=${!armed.value || !connected.value} onClick=${() => say(answer)}>${label}</button>`)}
      </div>
    </section>
  `;
}
