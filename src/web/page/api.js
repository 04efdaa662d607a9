// Calls of the REST interface. Stop has its own, in stop.js: it tries harder.

/** Resolves to null, or to what went wrong as one text. */
export async function call(method, path, body) {
  try {
    const content = body === undefined ? {} : { headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
    const response = await fetch(path, { method, ...content, signal: AbortSignal.timeout(10000) });
    if (response.ok) return null;
    const problem = await response.json().catch(() => null);
    if (!problem?.error) return `The gateway answered ${response.status}.`;
    return problem.hint ? `${problem.error} ${problem.hint}` : problem.error;
  } catch {
    return "The gateway does not answer.";
  }
}
