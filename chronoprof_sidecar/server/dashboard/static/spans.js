// The spans of time that can be looked at: what the sidecar is asked for, and how long each is.

/** `[value in the address, text, spoken text]`; the last is the current window, which no `since` names. */
export const SPANS = [
  ["15m", "15 m", "15 minutes"],
  ["1h", "1 h", "1 hour"],
  ["24h", "24 h", "24 hours"],
  ["30d", "30 d", "30 days"],
  ["", "Window", "the current window"],
];
const LENGTHS = { "15m": 900, "1h": 3600, "24h": 86_400, "30d": 30 * 86_400 };
const TREND_STEPS = 30;

/** The query that asks `GET data` for a span. */
export function sinceOf(span) {
  return span === "" ? {} : { since: span };
}

/** The query that asks `GET history` for a span; the window begins at `windowStart`. */
export function historyOf(span, windowStart) {
  return { since: span === "" ? windowStart : span };
}

/** How many seconds an answer of `GET data` is about. */
export function secondsOf(meta) {
  const end = Math.min(Date.parse(meta.until ?? meta.generated_at), Date.parse(meta.generated_at));
  return Math.max((end - Date.parse(meta.since ?? meta.window_start)) / 1000, 1);
}

/** A step, in the sidecar's words, that cuts a span into as many pieces as a row of the table can show. */
export function trendStep(span, windowStart) {
  const seconds = LENGTHS[span] ?? Math.max((Date.now() - Date.parse(windowStart)) / 1000, 60);
  const minutes = Math.ceil(seconds / 60 / TREND_STEPS);
  const round = [1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440].find((each) => each >= minutes);
  return `${round ?? Math.ceil(minutes / 1440) * 1440}m`;
}
