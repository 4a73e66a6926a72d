import { expect, test } from "vitest";
import { Parser } from "./stream";

const TEXT = ':\n\nid: 5\nevent: delivery.created\ndata: {"a":1}\n\nid: 6\nevent: gap\ndata: {}\n\n';
const MESSAGES = [
  { id: "5", event: "delivery.created", data: '{"a":1}' },
  { id: "6", event: "gap", data: "{}" },
];

test("messages are the same wherever the chunks are cut", () => {
  for (let cut = 0; cut <= TEXT.length; cut += 1) {
    const parser = new Parser();
    expect([...parser.push(TEXT.slice(0, cut)), ...parser.push(TEXT.slice(cut))]).toEqual(MESSAGES);
  }
});

test("a message comes when it is whole, and signs of life are none", () => {
  const parser = new Parser();
  expect(parser.push(":\n\n")).toEqual([]);
  expect(parser.push("id: 7\nevent: gap\ndata: {")).toEqual([]);
  expect(parser.push("}\n")).toEqual([]);
  expect(parser.push("\n")).toEqual([{ id: "7", event: "gap", data: "{}" }]);
});

test("lines may end as on Windows, data may have several, and a field no value", () => {
  const parser = new Parser();
  expect(parser.push("data: a\r\ndata: b\r\n\r\ndata\n\n")).toEqual([
    { id: "", event: "message", data: "a\nb" },
    { id: "", event: "message", data: "" },
  ]);
});
