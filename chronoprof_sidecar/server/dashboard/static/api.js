// Asking the sidecar. Owns the key's header, time limits, and what a refusal is; knows no route and no figure.

const BASE = new URL("api/v1/profiling/", document.baseURI);
const TIME_LIMIT_MS = 20_000;

/** The sidecar said no: its status, its error's code and its message. */
export class Refusal extends Error {
  constructor(status, { code = "", message = "" }, retryAfterSeconds) {
    super(message || `the server answered ${status}`);
    this.status = status;
    this.code = code;
    this.retryAfterSeconds = retryAfterSeconds;
  }
}

/** There was no answer, or one that is none of the sidecar's. */
export class Unreachable extends Error {}

export class Api {
  #keys;

  constructor(keys) {
    this.#keys = keys;
  }

  /** Return what `GET path?query` answers; parameters that are null, undefined or empty are left out. */
  async get(path, query = {}, signal = undefined) {
    return decode(await this.#send("GET", path, query, this.#keys.key, signal));
  }

  /** Return what `POST path?query` answers, null if nothing; `key` stands in for the one that is kept. */
  async post(path, query = {}, key = this.#keys.key) {
    const answer = await this.#send("POST", path, query, key);
    return answer.status === 204 ? null : decode(answer);
  }

  /** Return a file as a blob. */
  async getFile(path) {
    return (await this.#send("GET", path, {}, this.#keys.key)).blob();
  }

  async #send(method, path, query, key, signal) {
    const url = new URL(path, BASE);
    for (const [name, value] of Object.entries(query)) {
      if (value !== null && value !== undefined && value !== "") url.searchParams.set(name, value);
    }
    const answer = await reach(url, method, key, signal);
    if (answer.ok) return answer;
    throw await refusalOf(answer);
  }
}

async function reach(url, method, key, signal) {
  const limit = AbortSignal.timeout(TIME_LIMIT_MS);
  try {
    return await fetch(url, {
      method,
      headers: { "X-API-Key": asHeader(key ?? "") },
      cache: "no-store",
      credentials: "omit",
      redirect: "error",
      referrerPolicy: "no-referrer",
      signal: signal === undefined ? limit : AbortSignal.any([signal, limit]),
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Unreachable("the server does not answer", { cause: error });
  }
}

/** A header carries bytes: a key beyond Latin-1 goes as UTF-8. */
function asHeader(key) {
  return String.fromCharCode(...new TextEncoder().encode(key));
}

async function decode(answer) {
  try {
    return await answer.json();
  } catch (error) {
    throw new Unreachable("the answer broke off, or is none of the sidecar's", { cause: error });
  }
}

async function refusalOf(answer) {
  const report = await answer.json().catch(() => ({}));
  const retryAfter = Number(answer.headers.get("Retry-After"));
  return new Refusal(answer.status, report.error ?? {}, retryAfter > 0 ? retryAfter : undefined);
}
