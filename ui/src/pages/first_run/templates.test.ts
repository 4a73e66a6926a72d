import { expect, test } from "vitest";
import { curlOf, schemaOf, TEMPLATES } from "./templates";

test("a template's schema asks for what its example has", () => {
  expect(schemaOf({ order: "1", count: 2, lines: [] })).toEqual({
    type: "object",
    required: ["order", "count", "lines"],
    properties: { order: { type: "string" }, count: { type: "number" }, lines: { type: "array" } },
  });
});

test("templates have names of their own", () => {
  expect(new Set(TEMPLATES.map(({ name }) => name)).size).toBe(TEMPLATES.length);
});

test("a quote in the data does not end the shell's", () => {
  expect(curlOf("https://a.example", "ww_1", "a.b", { it: "isn't" })).toBe(
    `curl https://a.example/v1/events \\\n  -H 'Authorization: Bearer ww_1' \\\n  -H 'Content-Type: application/json' \\\n  -d '{"type":"a.b","data":{"it":"isn'\\''t"}}'`,
  );
});
