/** The languages of the console: what is said in which, and how numbers and times are written. */

import { remember, remembered } from "../remembered";

export const LANGUAGES = ["en", "es", "pt"] as const;
export type Language = (typeof LANGUAGES)[number];

export const LANGUAGE_NAMES: Record<Language, string> = { en: "English", es: "Español", pt: "Português" };

/** `{name}` stands for a value; where `{count}` decides, both forms are there. */
export type Message = string | { one: string; other: string };
export type Values = Record<string, string | number>;

const REMEMBERED = "waxwing.language";

let spoken = $state<Language>(chosenBefore() ?? wished(globalThis.navigator?.languages ?? []));

export function language(): Language {
  return spoken;
}

export function speak(chosen: Language): void {
  spoken = chosen;
  remember(REMEMBERED, chosen);
}

/** How numbers and times are written: as the reader's own region does, when it has the language that is spoken. */
export function locale(of: Language = spoken, languages: readonly string[] = globalThis.navigator?.languages ?? []): string {
  return languages.find((wish) => wish.toLowerCase().split("-")[0] === of) ?? of;
}

/** The first of the reader's languages that is spoken here; a region means its language. */
export function wished(languages: readonly string[]): Language {
  for (const wish of languages) {
    const found = LANGUAGES.find((known) => known === wish.toLowerCase().split("-")[0]);
    if (found) return found;
  }
  return "en";
}

function chosenBefore(): Language | undefined {
  const stored = remembered(REMEMBERED);
  return LANGUAGES.find((known) => known === stored);
}

/** The messages of one area. The compiler holds that each key is there in each language, and no other. */
export function words<const Key extends string>(table: {
  en: Record<Key, Message>;
  es: Record<NoInfer<Key>, Message>;
  pt: Record<NoInfer<Key>, Message>;
}): (key: Key, values?: Values) => string {
  return (key, values = {}) => fill(table[spoken][key], values, spoken);
}

/** A message with its values. Numbers are written as the language does. */
export function fill(message: Message, values: Values, of: Language): string {
  const text = typeof message === "string" ? message : message[pluralForm(Number(values["count"]), of)];
  return text.replace(/\{(\w+)\}/g, (whole, name: string) => {
    const value = values[name];
    if (value === undefined) return whole;
    return typeof value === "number" ? new Intl.NumberFormat(locale(of)).format(value) : value;
  });
}

function pluralForm(count: number, of: Language): "one" | "other" {
  return new Intl.PluralRules(of).select(count) === "one" ? "one" : "other";
}

/** `1,234`, or `1.2M` where there is little room. */
export function number(value: number, style: "whole" | "compact" = "whole"): string {
  const options: Intl.NumberFormatOptions =
    style === "compact" && Math.abs(value) >= 10_000
      ? { notation: "compact", maximumFractionDigits: 1 }
      : Math.abs(value) < 1
        ? { maximumSignificantDigits: 2 }
        : { maximumFractionDigits: Math.abs(value) < 10 ? 2 : Math.abs(value) < 100 ? 1 : 0 };
  return new Intl.NumberFormat(locale(), options).format(value);
}

/** A part of one as percent. What is not all of it is never written as 100 %. */
export function percent(part: number): string {
  const shown = part < 1 ? Math.min(part, 0.9999) : part;
  return new Intl.NumberFormat(locale(), { style: "percent", maximumFractionDigits: shown > 0.99 && shown < 1 ? 2 : 1 }).format(shown);
}

/** A duration in milliseconds, in the unit that suits it. */
export function duration(milliseconds: number): string {
  const units: [number, string][] = [
    [86_400_000, "day"],
    [3_600_000, "hour"],
    [60_000, "minute"],
    [1000, "second"],
  ];
  const [size, unit] = units.find(([size]) => milliseconds >= size) ?? [1, "millisecond"];
  const value = milliseconds / size;
  const maximumFractionDigits = value < 1 ? 2 : value < 10 ? 1 : 0;
  return new Intl.NumberFormat(locale(), { style: "unit", unit, unitDisplay: "short", maximumFractionDigits }).format(value);
}

export function bytes(count: number): string {
  const units: [number, string][] = [
    [1 << 30, "gigabyte"],
    [1 << 20, "megabyte"],
    [1 << 10, "kilobyte"],
  ];
  const [size, unit] = units.find(([size]) => count >= size) ?? [1, null];
  // In English the short form of the unit would be "49 byte".
  if (unit === null) return `${number(count)} B`;
  return new Intl.NumberFormat(locale(), { style: "unit", unit, unitDisplay: "short", maximumFractionDigits: 1 }).format(count / size);
}
