// Calls of the REST interface. Stop has its own, in stop.js: it tries harder.

/** Resolves to null, or to what went wrong as one text. `body` is sent as JSON. */
export async function call(method, path, body) {
  return (await ask(method, path, body)).problem;
}

/** Resolves to { result } with the answer, or to { problem } with what went wrong as one text. */
export async function ask(method, path, body, patience = 10000) {
  const content = body && { body: JSON.stringify(body), headers: { "Content-Type": "application/json" } };
  try {
    const response = await fetch(path, { method, ...content, signal: AbortSignal.timeout(patience) });
    const answer = await response.json().catch(() => null);
    if (response.ok) return { result: answer, problem: null };
    if (!answer?.error) return { problem: `The gateway answered ${response.status}.` };
    return { problem: answer.hint ? `${answer.error} ${answer.hint}` : answer.error };
  } catch {
    return { problem: "The gateway does not answer." };
  }
}
