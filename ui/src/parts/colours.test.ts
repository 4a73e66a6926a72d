import { expect, test } from "vitest";
import { accents, contrast, parse } from "./colours";

/** Every sixth step of each of the three, and what is between them. */
const COLOURS = ["00", "33", "66", "80", "99", "cc", "ff"].flatMap((red, _, parts) => parts.flatMap((green) => parts.map((blue) => `#${red}${green}${blue}`)));
const GROUNDS = { light: ["#ffffff", "#f6f6f4", "#f1f1ee", "#efefec", "#ecece9"], dark: ["#191b1e", "#121315", "#202327", "#212428", "#272a2f"] };

function pair(value: string): { light: string; dark: string } {
  const [, light = "", dark = ""] = /^light-dark\((#\w{6}), (#\w{6})\)$/.exec(value) ?? [];
  return { light, dark };
}

test.each(COLOURS)("whatever is written in or on %s can be read", (colour) => {
  const made = accents(colour);
  for (const fill of ["--accent-fill", "--accent-strong"]) {
    expect(contrast(parse(made[fill] ?? ""), parse(made["--on-accent"] ?? ""))).toBeGreaterThanOrEqual(4.5);
  }
  const [text, soft] = [pair(made["--accent"] ?? ""), pair(made["--accent-soft"] ?? "")];
  for (const mode of ["light", "dark"] as const) {
    for (const ground of [...GROUNDS[mode], soft[mode]]) expect(contrast(parse(text[mode]), parse(ground))).toBeGreaterThanOrEqual(4.5);
  }
});

test("a colour that can be read anyway stays itself", () => {
  expect(accents("#0a5d43")["--accent-fill"]).toBe("#0a5d43");
  expect(pair(accents("#0a5d43")["--accent"] ?? "").light).toBe("#0a5d43");
});
