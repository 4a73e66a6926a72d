import { expect, test } from "vitest";
import { phases } from "./phases";

test("the parts of an attempt's time add up to all of it", () => {
  const found = phases({ dns: 10, connect: 20, tls: 30, first_byte: 30, total: 100 });
  expect(found.map(({ phase, milliseconds }) => [phase, milliseconds])).toEqual([["dns", 10], ["connect", 20], ["tls", 30], ["first_byte", 30], ["rest", 10]]);
  expect(found.reduce((sum, { part }) => sum + part, 0)).toBeCloseTo(1);
});

test("what was not come to is not drawn", () => {
  expect(phases({ dns: null, connect: null, tls: null, first_byte: null, total: 15_000 }).map(({ phase }) => phase)).toEqual(["rest"]);
  expect(phases({ dns: 0, connect: 0, tls: null, first_byte: 0.1, total: 0.1 }).map(({ phase }) => phase)).toEqual(["first_byte"]);
  expect(phases({ dns: null, connect: null, tls: null, first_byte: null, total: 0 })).toEqual([]);
});
