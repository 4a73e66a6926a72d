/** A subscription as a form holds it: texts, and what they mean to the API. */

import type { Schemas } from "../../api/client";

export interface Form {
  url: string;
  /** One on each line */
  events: string;
  description: string;
  /** With commas between */
  channels: string;
  /** `Name: value`, one on each line */
  headers: string;
  rate_limit: string;
  max_in_flight: string;
  timeout_seconds: string;
  /** Seconds, with commas between */
  retry_schedule: string;
  ordering: "none" | "fifo";
  envelope: "profile" | "raw";
  signing: "subscription" | "tenant";
  circuit_breaker: boolean;
}

/** The fields, by which problems are told. */
export const FIELDS: readonly (keyof Form)[] = [
  "url",
  "events",
  "description",
  "channels",
  "headers",
  "rate_limit",
  "max_in_flight",
  "timeout_seconds",
  "retry_schedule",
  "ordering",
  "envelope",
  "signing",
  "circuit_breaker",
];

export const EMPTY: Form = {
  url: "",
  events: "",
  description: "",
  channels: "",
  headers: "",
  rate_limit: "",
  max_in_flight: "10",
  timeout_seconds: "15",
  retry_schedule: "",
  ordering: "none",
  envelope: "profile",
  signing: "subscription",
  circuit_breaker: true,
};

export function fromAttributes(it: Schemas["SubscriptionAttributes"]): Form {
  return {
    url: it.url,
    events: it.events.join("\n"),
    description: it.description ?? "",
    channels: it.channels.join(", "),
    headers: Object.entries(it.headers)
      .map(([name, value]) => `${name}: ${value}`)
      .join("\n"),
    rate_limit: it.rate_limit === null ? "" : String(it.rate_limit),
    max_in_flight: String(it.max_in_flight),
    timeout_seconds: String(it.timeout_seconds),
    retry_schedule: it.retry_schedule?.join(", ") ?? "",
    ordering: it.ordering,
    envelope: it.envelope,
    signing: it.signing,
    circuit_breaker: it.circuit_breaker,
  };
}

/** Of the API's own name and kind. What is no number goes as it is: the server says what is wrong with it. */
export type Body = Record<keyof Form, unknown>;

export function toBody(form: Form): Body {
  return {
    url: form.url.trim(),
    events: listed(form.events, "\n"),
    description: form.description.trim() || null,
    channels: listed(form.channels, ","),
    headers: pairs(form.headers),
    rate_limit: numbered(form.rate_limit) ?? null,
    max_in_flight: numbered(form.max_in_flight),
    timeout_seconds: numbered(form.timeout_seconds),
    retry_schedule: form.retry_schedule.trim() === "" ? null : listed(form.retry_schedule, ",").map(numbered),
    ordering: form.ordering,
    envelope: form.envelope,
    signing: form.signing,
    circuit_breaker: form.circuit_breaker,
  };
}

/** Only what is another now: nobody else's change to the rest is undone. */
export function changes(before: Form, after: Form): Partial<Body> {
  const [was, is] = [toBody(before), toBody(after)];
  return Object.fromEntries(Object.entries(is).filter(([name, value]) => JSON.stringify(value) !== JSON.stringify(was[name as keyof Form])));
}

function listed(text: string, separator: string): string[] {
  return text
    .split(separator)
    .map((part) => part.trim())
    .filter((part) => part !== "");
}

function pairs(text: string): Record<string, string> {
  return Object.fromEntries(
    listed(text, "\n").map((line) => {
      const colon = line.indexOf(":");
      return colon < 0 ? [line, ""] : [line.slice(0, colon).trim(), line.slice(colon + 1).trim()];
    }),
  );
}

function numbered(text: string): number | string | undefined {
  const trimmed = text.trim();
  if (trimmed === "") return undefined;
  const value = Number(trimmed);
  return Number.isFinite(value) ? value : trimmed;
}
