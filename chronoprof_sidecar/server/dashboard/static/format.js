// How numbers look to people. Every figure is `[digits, unit]`, so that a column can align both.

const NOTHING = "–";
const THIN_SPACE = "\u2009";
const DURATION_UNITS = [
  [1e-6, 1e9, "ns"],
  [1e-3, 1e6, "µs"],
  [1, 1e3, "ms"],
  [120, 1, "s"],
  [7200, 1 / 60, "min"],
  [172_800, 1 / 3600, "h"],
  [Infinity, 1 / 86_400, "d"],
];
const COUNT_UNITS = [
  [1e6, 1e3, "k"],
  [1e9, 1e6, "M"],
  [1e12, 1e9, "G"],
  [Infinity, 1e12, "T"],
];
const SIZE_UNITS = [
  [1e3, "kB"],
  [1e6, "MB"],
  [1e9, "GB"],
  [1e12, "TB"],
];
const AGE_UNITS = [
  [86_400, "d"],
  [3600, "h"],
  [60, "min"],
];

/** A duration in seconds with three figures: `["412", "µs"]`, `["3.10", "ms"]`. */
export function duration(seconds) {
  if (!Number.isFinite(seconds)) return [NOTHING, ""];
  if (seconds === 0) return ["0", "s"];
  for (const [limit, factor, unit] of DURATION_UNITS) {
    // Judged after rounding: 999.7 µs is 1.00 ms.
    if (Number((seconds * factor).toPrecision(3)) < Number((limit * factor).toPrecision(3))) {
      return [threeFigures(seconds * factor), unit];
    }
  }
  return [NOTHING, ""];
}

/** A count: whole up to 9 999, then three figures and k, M, G. */
export function count(value) {
  if (!Number.isFinite(value)) return [NOTHING, ""];
  if (value < 10_000) return [grouped(value), ""];
  for (const [limit, divisor, unit] of COUNT_UNITS) {
    if (Number((value / divisor).toPrecision(3)) * divisor < limit) return [threeFigures(value / divisor), unit];
  }
  return [NOTHING, ""];
}

/** A number of events a second; a fraction of one is told by the minute, the hour or the day. */
export function rate(perSecond) {
  if (!Number.isFinite(perSecond)) return [NOTHING, ""];
  if (perSecond === 0) return ["0", "/s"];
  for (const [seconds, unit] of [[1, "/s"], [60, "/min"], [3600, "/h"]]) {
    if (perSecond * seconds >= 0.995) return perCount(perSecond * seconds, unit);
  }
  return perCount(perSecond * 86_400, "/d");
}

/** A share, 0 to 1. */
export function share(value) {
  if (!Number.isFinite(value)) return [NOTHING, ""];
  const percent = value * 100;
  if (percent === 0) return ["0", "%"];
  if (percent < 0.1) return ["<0.1", "%"];
  return [percent < 99.95 ? percent.toFixed(1) : "100", "%"];
}

/** A size in bytes. */
export function bytes(value) {
  if (value < 1000) return [String(value), "B"];
  const [divisor, unit] = SIZE_UNITS.find(([size]) => Number((value / size).toPrecision(3)) < 1000);
  return [threeFigures(value / divisor), unit];
}

/** How long a time is, in the largest unit of which there are two: `119 s`, `5 min`, `3 h`, `2 d`. */
export function age(seconds) {
  if (!Number.isFinite(seconds)) return NOTHING;
  for (const [length, unit] of AGE_UNITS) {
    if (seconds >= 2 * length) return `${Math.floor(seconds / length)} ${unit}`;
  }
  return `${Math.floor(Math.max(seconds, 0))} s`;
}

/** A point in time where the reader is: the time of day, with the date unless it is today. */
export function moment(text) {
  const time = new Date(text);
  if (Number.isNaN(time.getTime())) return NOTHING;
  const clock = time.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
  const isToday = time.toDateString() === new Date().toDateString();
  return isToday ? clock : `${time.toLocaleDateString([], { year: "numeric", month: "short", day: "numeric" })}, ${clock}`;
}

/** A whole number with its thousands apart. */
export function grouped(value) {
  return Number.isFinite(value) ? String(value).replace(/\B(?=(\d{3})+$)/g, THIN_SPACE) : NOTHING;
}

/** A figure as one text. */
export function joined([digits, unit]) {
  return unit === "" || unit === "%" ? digits + (unit && `${THIN_SPACE}%`) : `${digits}\u00a0${unit}`;
}

function perCount(value, unit) {
  if (value < 1000) return [threeFigures(value), unit];
  const [digits, thousands] = value < 10_000 ? [grouped(Math.round(value)), ""] : count(value);
  return [digits, thousands + unit];
}

function threeFigures(value) {
  if (value < 9.995) return value.toFixed(2);
  return value < 99.95 ? value.toFixed(1) : value.toFixed(0);
}
