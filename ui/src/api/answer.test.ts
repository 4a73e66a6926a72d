import { expect, test } from "vitest";
import { ask, failureOf, problemOf, problemsBeside } from "./answer";

const BODY = {
  errors: [
    { id: "01A", status: "400", code: "invalid_url", title: "Bad", detail: "No URL", source: { pointer: "/url" } },
    { id: "01A", status: "400", code: "too_long", title: "Bad", detail: "Too long", source: { pointer: "/events/3" } },
    { id: "01A", status: "400", code: "unknown_parameter", title: "Bad", detail: "Unknown", source: { parameter: "x" } },
  ],
};

test("a refusal keeps its code, its words and the request's id", () => {
  const failure = failureOf(400, BODY, null);
  expect([failure.status, failure.code, failure.detail, failure.requestId]).toEqual([400, "invalid_url", "No URL", "01A"]);
  expect(failureOf(400, BODY, "02B").requestId).toBe("02B");
});

test("each field finds its problem, and the others are told beside", () => {
  const failure = failureOf(400, BODY, null);
  expect(problemOf(failure, "url")).toBe("No URL");
  expect(problemOf(failure, "events")).toBe("Too long");
  expect(problemOf(failure, "event")).toBeNull();
  expect(problemOf(null, "url")).toBeNull();
  expect(problemsBeside(failure, ["url", "events"]).map(({ where }) => where)).toEqual(["x"]);
});

test("what is no body of errors is a failure all the same", () => {
  for (const body of [undefined, null, "<html>", { errors: "no" }, { errors: [null, 5] }, []]) {
    const failure = failureOf(502, body, null);
    expect([failure.code, failure.detail, failure.requestId]).toEqual(["http_502", "HTTP 502", null]);
  }
});

test("an answer is a value, and so is everything that goes wrong", async () => {
  const response = new Response(null, { status: 200, headers: { etag: '"1"' } });
  expect(await ask(Promise.resolve({ data: 5, response }))).toEqual({ ok: true, value: 5, etag: '"1"' });
  const refused = await ask(Promise.resolve({ error: BODY, response: new Response(null, { status: 400 }) }));
  expect(refused.ok).toBe(false);
  const lost = await ask(Promise.reject(new TypeError("Failed to fetch")));
  expect(lost).toMatchObject({ ok: false, failure: { status: 0, code: "unreachable" } });
  const ended = await ask(Promise.reject(new DOMException("over", "AbortError")));
  expect(ended).toMatchObject({ ok: false, failure: { code: "aborted" } });
});
