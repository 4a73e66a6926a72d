import { expect, test } from "vitest";
import { patiently } from "./patience";

/** Sends to a server that gives these answers, one after the other; says what came, and how long was waited. */
async function send(...answers: [status: number, retryAfter?: string][]) {
  const waited: number[] = [];
  const bodies: string[] = [];
  const left = [...answers];
  const response = await patiently(
    async (request) => {
      bodies.push(await request.text());
      const [status, retryAfter] = left.shift() ?? [500];
      return new Response(null, { status, headers: retryAfter ? { "retry-after": retryAfter } : {} });
    },
    new Request("http://localhost/", { method: "POST", body: "hello" }),
    async (milliseconds) => void waited.push(milliseconds),
  );
  return { status: response.status, waited, bodies: bodies.join(" ") };
}

test("who is told to slow down waits as long as was said, and sends the same again", async () => {
  expect(await send([429, "2"], [429, "1"], [201])).toEqual({ status: 201, waited: [2000, 1000], bodies: "hello hello hello" });
});

test("everything else is answered at once", async () => {
  expect(await send([200])).toEqual({ status: 200, waited: [], bodies: "hello" });
  expect(await send([503, "1"])).toEqual({ status: 503, waited: [], bodies: "hello" });
  expect(await send([429])).toMatchObject({ status: 429, waited: [] });
  expect(await send([429, "3600"])).toMatchObject({ status: 429, waited: [] });
});

test("patience ends", async () => {
  expect((await send([429, "1"], [429, "1"], [429, "1"], [429, "1"], [429, "1"], [200])).status).toBe(429);
});
