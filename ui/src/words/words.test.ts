import { expect, test } from "vitest";
import { fill, locale, speak, wished, words } from "./words.svelte";
import { relative } from "./time.svelte";

test("the first language that is spoken here is taken, whatever its region", () => {
  expect(wished(["de-DE", "pt-BR", "en"])).toBe("pt");
  expect(wished(["ES-mx"])).toBe("es");
  expect(wished(["de", "fr"])).toBe("en");
  expect(wished([])).toBe("en");
});

test("numbers and times are written as in the reader's region, when that speaks the chosen language", () => {
  expect(locale("en", ["de-DE", "en-GB", "en-US"])).toBe("en-GB");
  expect(locale("es", ["en-GB", "es-MX"])).toBe("es-MX");
  expect(locale("pt", ["en-GB"])).toBe("pt");
});

test("a message says its values, in the form that their count asks for", () => {
  const message = { one: "{count} delivery", other: "{count} deliveries" };
  expect(fill(message, { count: 1 }, "en")).toBe("1 delivery");
  expect(fill(message, { count: 12345 }, "en")).toBe("12,345 deliveries");
  expect(fill(message, { count: 12345 }, "pt")).toBe("12.345 deliveries");
  expect(fill("{a} {b} {a}", { a: "x" }, "en")).toBe("x {b} x");
});

test("words are said in the language that is chosen now", () => {
  const say = words({ en: { yes: "Yes" }, es: { yes: "Sí" }, pt: { yes: "Sim" } });
  speak("pt");
  expect(say("yes")).toBe("Sim");
  speak("en");
  expect(say("yes")).toBe("Yes");
});

test("a moment is told in the largest unit of which there is one, and never too large", () => {
  const now = Date.parse("2026-03-01T12:00:00Z");
  for (const [seconds, expected] of [
    [0, "now"],
    [-1, "1 sec. ago"],
    [-59, "59 sec. ago"],
    [-119, "1 min. ago"],
    [-3600, "1 hr. ago"],
    [90, "in 1 min."],
    [-86_400, "yesterday"],
    [-172_800, "2 days ago"],
    [-40 * 86_400, "last mo."],
  ] as const) {
    expect([seconds, relative(now + seconds * 1000, now, "en")]).toEqual([seconds, expected]);
  }
});
