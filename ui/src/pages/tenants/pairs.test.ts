import { expect, test } from "vitest";
import { fromPairs, toPairs } from "./pairs";

test.each([
  ["plan: pro\nurl: https://a.example:8443", { plan: "pro", url: "https://a.example:8443" }],
  ["\n  flag \n", { flag: "" }],
  ["", {}],
])("%j are pairs", (text, pairs) => expect(toPairs(text)).toEqual(pairs));

test("what comes from pairs makes the same pairs again", () => {
  const pairs = { plan: "pro", since: "10:30" };
  expect(toPairs(fromPairs(pairs))).toEqual(pairs);
});
