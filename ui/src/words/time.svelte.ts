/** Times in the reader's zone: relative to a clock that all of the page shares, or in full. */

import { locale } from "./words.svelte";

const TICK_MILLISECONDS = 5_000;

let now = $state(Date.now());
setInterval(() => (now = Date.now()), TICK_MILLISECONDS);

/** The time that everything on the page is relative to. */
export function sharedNow(): number {
  return now;
}

const UNITS: [Intl.RelativeTimeFormatUnit, number][] = [
  ["year", 365 * 86_400],
  ["month", 30 * 86_400],
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
  ["second", 1],
];

/** `5 minutes ago`, `in 2 hours`: the largest unit of which there is at least one. */
export function relative(at: number, to: number, of: string): string {
  const seconds = (at - to) / 1000;
  const [unit, size] = UNITS.find(([, size]) => Math.abs(seconds) >= size) ?? ["second", 1];
  // Cut off, not rounded: what is 119 seconds ago is not yet two minutes ago.
  const whole = Math.trunc(seconds / size);
  return new Intl.RelativeTimeFormat(of, { numeric: "auto", style: "short" }).format(whole, unit);
}

/** With the zone, to the second or the millisecond. */
export function absolute(at: number, to: "second" | "millisecond", of: string = locale()): string {
  return new Intl.DateTimeFormat(of, {
    year: "numeric",
    month: "short",
    day: "numeric",
    hour: "2-digit",
    minute: "2-digit",
    second: "2-digit",
    ...(to === "millisecond" ? { fractionalSecondDigits: 3 } : {}),
    timeZoneName: "short",
  }).format(at);
}

/** The time of the day, to the second: for lists of what happens now. */
export function timeOfDay(at: number, of: string = locale()): string {
  return new Intl.DateTimeFormat(of, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" }).format(at);
}

/** A moment as `<input type="datetime-local">` takes it, in the reader's zone. */
export function toLocalInput(at: number): string {
  const local = new Date(at - new Date(at).getTimezoneOffset() * 60_000);
  return local.toISOString().slice(0, 16);
}

/** The other way, as the API takes it; null when it is no moment. */
export function fromLocalInput(text: string): string | null {
  const at = new Date(text);
  return text === "" || Number.isNaN(at.getTime()) ? null : at.toISOString();
}
