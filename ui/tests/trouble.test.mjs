/** What the console does when the server is slow to let it, goes away, or is very busy. */

import assert from "node:assert/strict";
import { symlink } from "node:fs/promises";
import { join } from "node:path";
import { signIn, stage } from "./support/stage.mjs";

const LOST = /net::ERR_|Failed to load resource/;

const { visit } = stage();

visit("a server that goes away is told, and its return is noticed by itself", {}, async ({ page, server, receiving, expect, examine, shoot }) => {
  expect(LOST);
  await server.api("POST", "/v1/event-types", { name: "order.paid" });
  const inbox = await receiving();
  await server.api("POST", "/v1/webhook-subscriptions", { url: inbox.url, events: ["order.paid"] });
  await signIn(page);
  await page.getByText("Waiting for something to happen").waitFor();
  await server.end();
  await page.getByText("The connection is lost").waitFor();
  await page.getByText("7 days").click();
  await page.getByRole("alert").first().waitFor();
  await examine("a lost server");
  await shoot("lost-server");
  await server.start();
  await page.getByRole("button", { name: "Pause" }).waitFor();
  await server.api("POST", "/v1/events", { type: "order.paid", data: 1 });
  await page.getByRole("table", { name: "Live", exact: true }).getByText("order.paid").waitFor();
  // On a slow machine the page may have asked again by itself before.
  await page.getByRole("button", { name: "Try again" }).first().click({ timeout: 5_000 }).catch(() => {});
  await page.getByText("Attempts per hour").waitFor();
  await page.getByRole("alert").first().waitFor({ state: "detached" });
});

visit("a backup that failed is in what needs action, and leads to the backups", {}, async ({ page, server }) => {
  await signIn(page);
  // A folder that can be looked into, and that nobody can write to.
  await symlink("/proc/self", join(server.folder, "backups"));
  await server.api("POST", "/v1/backups", {});
  const failed = async () => (await server.api("GET", "/v1/backups")).data[0]?.attributes.state === "failed";
  while (!(await failed()));
  await page.reload();
  await page.getByRole("link", { name: "The last backup failed" }).click();
  await page.getByRole("heading", { level: 1, name: "Backups" }).waitFor();
});

visit("told to slow down, the page waits and shows everything all the same", {}, async ({ page, expect }) => {
  expect(/status of 429/);
  await signIn(page);
  // As the server says it. Each address is refused once: what is shown in the end was asked for twice.
  const refused = new Set();
  await page.route("**/v1/**", (route) => {
    const path = new URL(route.request().url()).pathname;
    if (refused.has(path)) return route.continue();
    refused.add(path);
    return route.fulfill({ status: 429, headers: { "retry-after": "1" }, json: { errors: [{ id: "1", status: "429", code: "rate_limited", title: "Too Many Requests", detail: "Slow down" }] } });
  });
  await page.getByRole("link", { name: "Subscriptions", exact: true }).click();
  await page.getByRole("table", { name: "Subscriptions" }).or(page.getByText("No subscriptions yet")).first().waitFor();
  await page.getByRole("link", { name: "Deliveries", exact: true }).click();
  await page.getByRole("table").or(page.getByText("No deliveries yet")).first().waitFor();
  assert.equal(await page.getByRole("alert").count(), 0);
  assert.ok(refused.has("/v1/webhook-subscriptions") && refused.has("/v1/deliveries"), [...refused].join());
});

/** Events of one run, in batches of at most 1,000. */
const BATCHES = 3;
const BATCH = 1_000;

visit("the overview stays usable while thousands of attempts are made", {}, async ({ page, server, t, shoot }) => {
  await signIn(page);
  await page.getByRole("button", { name: "Pause" }).waitFor();
  await server.api("POST", "/v1/event-types", { name: "order.paid" }).catch(() => "it is there already");
  const ids = [];
  for (const name of ["one", "two"]) {
    const made = await server.api("POST", "/v1/webhook-subscriptions", { url: `https://test-receiver.invalid/${name}`, events: ["order.*"] });
    ids.push(made.data.id);
  }
  await page.evaluate(() => {
    const seen = { frames: [], blocked: [] };
    globalThis.seen = seen;
    new PerformanceObserver((list) => seen.blocked.push(...list.getEntries().map(({ duration }) => duration))).observe({ type: "longtask" });
    let before = performance.now();
    const frame = (now) => {
      seen.frames.push(now - before);
      before = now;
      requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  });
  const events = Array.from({ length: BATCH }, (_, n) => ({ type: "order.paid", data: { n } }));
  for (let batch = 0; batch < BATCHES; batch += 1) {
    await server.api("POST", "/v1/events/batch", { events });
    // The page takes a click while all of it goes on.
    await page.getByText(batch % 2 ? "1 hour" : "24 hours").click();
  }
  const live = page.getByRole("table", { name: "Live", exact: true });
  await live.getByRole("row").nth(50).waitFor();
  // Until all of it is delivered, however busy the machine is.
  for (const id of ids) while (await isOpen(server, id));
  assert.equal(await live.getByRole("row").count(), 51, "more rows are drawn than one can look at");
  const { frames, blocked } = await page.evaluate(() => globalThis.seen);
  const sorted = frames.toSorted((a, b) => a - b);
  const at = (part) => sorted[Math.floor(part * (sorted.length - 1))].toFixed(0);
  t.diagnostic(`frames: ${frames.length}, p50 ${at(0.5)} ms, p95 ${at(0.95)} ms, p99 ${at(0.99)} ms, longest ${at(1)} ms; tasks over 50 ms: ${blocked.length}, longest ${Math.max(0, ...blocked).toFixed(0)} ms`);
  await shoot("overview-busy");
});

async function isOpen(server, id) {
  const { data } = await server.api("GET", `/v1/webhook-subscriptions/${id}/stats`);
  const { pending, retrying } = data.attributes.deliveries;
  return pending + retrying > 0;
}
