import { expect, test } from "vitest";

import type { Answer } from "./answer";
import { Resource } from "./resource.svelte";

function counted() {
  const asked: AbortSignal[] = [];
  const read = new Resource((signal): Promise<Answer<number>> => {
    asked.push(signal);
    return Promise.resolve({ ok: true, etag: null, value: asked.length });
  });
  return { asked, read };
}

test("what is asked last wins, and what was asked before is given up", async () => {
  const { asked, read } = counted();
  const first = read.reload();
  await read.reload();
  await first;
  expect(asked.map((signal) => signal.aborted)).toEqual([true, false]);
  expect(read.value).toBe(2);
});

// "Send again" was answered after the reader had gone on to another page: the event of no id was asked for.
test("who has left asks for nothing more until they come back", async () => {
  const { asked, read } = counted();
  read.begin();
  read.stop();
  await read.reload();
  expect(asked.length).toBe(1);
  expect(asked[0]?.aborted).toBe(true);
  read.begin();
  await read.reload();
  expect(read.value).toBe(3);
});
