import { expect, test } from "vitest";
import { read, shown } from "./values";

test.each([
  ["retention.payload_days", "30", 30],
  ["rate_limits.publish", "off", "off"],
  ["portal.name", " Acme ", "Acme"],
  ["portal.name", " ", null],
  ["portal.frame_ancestors", "https://a.example\nhttps://b.example", ["https://a.example", "https://b.example"]],
  ["portal.frame_ancestors", "https://a.example", ["https://a.example"]],
  ["mail.to", "ops@a.example, night@a.example", ["ops@a.example", "night@a.example"]],
  ["mail.port", "465", 465],
  ["mail.user", "1234", "1234"],
  ["mail.password", " 1234 ", " 1234 "],
  ["mail.password", "", null],
])("%s is set by %j", (name, text, value) => expect(read(name, text)).toEqual(value));

test.each([
  [null, null],
  [[], null],
  [["a", "b"], "a, b"],
  [30, "30"],
  [false, "false"],
  [`data:image/png;base64,${"A".repeat(100)}`, `data:image/png;base64,${"A".repeat(38)}…`],
])("%j is shown", (value, text) => expect(shown(value)).toBe(text));
