import { describe, expect, test } from "vitest";
import { jsonProblem, memberText, pretty, withMembers } from "./json";

describe("pretty", () => {
  test.each([
    ['{"a":1,"b":[true,null],"c":{}}', '{\n  "a": 1,\n  "b": [\n    true,\n    null\n  ],\n  "c": {}\n}'],
    ["[ ]", "[]"],
    ['"a,{b}"', '"a,{b}"'],
    ['{"big":12345678901234567890.10}', '{\n  "big": 12345678901234567890.10\n}'],
    ['{"quoted":"\\"x\\":[1]\\\\"}', '{\n  "quoted": "\\"x\\":[1]\\\\"\n}'],
    ["{no json", "{no json"],
  ])("%s is indented and nothing else changes", (json, indented) => expect(pretty(json)).toBe(indented));
});

describe("memberText", () => {
  const answer = '{"links":{"data":0}, "data": {"id":"evt_1","attributes":{"note":"\\"data\\":1}","data": {"n": 1.00,  "t":"]}"} ,"x":[]}}}';

  test.each([
    [["data", "attributes", "data"], '{"n": 1.00,  "t":"]}"}'],
    [["data", "id"], '"evt_1"'],
    [["data", "attributes", "x"], "[]"],
    [["data", "attributes", "data", "n"], "1.00"],
    [["data", "missing"], null],
    [["data", "id", "deeper"], null],
  ])("%j is found as it was written", (path, text) => expect(memberText(answer, path as string[])).toBe(text));
});

test("members are put into an object with all their digits", () => {
  expect(withMembers({ type: "a.b", channels: undefined }, { data: "1.000000000000000000001" })).toBe('{"type":"a.b","data":1.000000000000000000001}');
  expect(withMembers({}, { schema: "{ }", example: "[]" })).toBe('{"schema":{ },"example":[]}');
});

test("what is no JSON is told apart from what is", () => {
  expect(jsonProblem('{"a":1}')).toBeNull();
  expect(jsonProblem('{"a":1,}')).toMatch(/JSON/);
});
