// What is missing from the numbers, in words: how much, why, and whose. Owns the words of each loss figure.

import { setText } from "./dom.js";
import { count, joined } from "./format.js";

const WORDS = [
  ["dropped", "dropped by the app before sending"],
  ["rejected", "refused by the sidecar"],
  ["unknown", "sent without an acknowledgement, so counted or not"],
  ["overflowed", "counted under “_other”, since the table was full"],
];

/** Show or hide a notice about `meta`; `parts` are `[service, meta]` of the services in it, once they are known. */
export function showLosses(node, meta, parts = []) {
  node.hidden = meta.complete;
  if (meta.complete) return;
  const where = parts.filter(([, part]) => !part.complete).map(([service, part]) => `${nameOf(service)}: ${list(part)}`);
  const told = where.length > 0 ? where.join(" · ") : list(meta);
  setText(node, `These numbers are not complete. ${told}.`);
}

/** What `meta` lacks, as a list in words. */
export function list(meta) {
  const figures = WORDS.filter(([name]) => meta[name] > 0).map(([name, words]) => `${calls(meta[name])} ${words}`);
  if (meta.set_aside > 0) figures.push(`${joined(count(meta.set_aside))} damaged rows or files kept apart, uncounted`);
  return figures.join(", ");
}

/** Ask for the loss figures of each service by itself; none while nothing is missing, or where there is one service. */
export async function askWhere(api, meta, query, signal) {
  if (meta.complete || query.service) return query.service ? [[query.service, meta]] : [];
  const asked = meta.services.slice(0, 16).map(async (service) => {
    const answer = await api.get("data", { ...query, service, limit: 0 }, signal);
    return [service, answer.meta];
  });
  return Promise.all(asked);
}

function calls(value) {
  return `${joined(count(value))} ${value === 1 ? "call" : "calls"}`;
}

function nameOf(service) {
  return service === "" ? "no service name" : service;
}
