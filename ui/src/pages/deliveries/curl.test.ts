import { expect, test } from "vitest";
import { curl } from "./curl";

test("a request becomes a command that a shell takes apart again", () => {
  const headers = [
    { name: "host", value: "example.com" },
    { name: "Content-Length", value: "11" },
    { name: "webhook-id", value: "evt_1" },
  ];
  expect(curl("https://example.com/a?b=c&d", { headers, body: `{"a":"it's"}` })).toBe(
    `curl 'https://example.com/a?b=c&d' \\\n  -H 'webhook-id: evt_1' \\\n  --data-raw '{"a":"it'\\''s"}'`,
  );
});

test("a body that is not kept is not made up", () => {
  expect(curl("https://example.com/", { headers: [], body: null })).toBe("curl 'https://example.com/'");
});
