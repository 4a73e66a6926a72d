/** How long it takes until something is seen. Told, not judged: it is the machine's, too. */

import assert from "node:assert/strict";
import { visitor } from "./support/browser.mjs";
import { signIn, stage } from "./support/stage.mjs";

/** A page of a list, and as many subscriptions as a tenant may have. */
const ROWS = 50;
const VISITS = 5;

const set = stage({ prepare });

async function prepare(server) {
  for (let count = 0; count < ROWS; count += 1) await server.api("POST", "/v1/webhook-subscriptions", { url: `https://receiver-${count}.example/webhooks`, events: ["*"] });
}

/** What is in the page may not be on the screen yet. */
const painted = async (page) => {
  const entry = await page.waitForFunction(() => performance.getEntriesByName("first-contentful-paint")[0]?.startTime);
  return entry.jsonValue();
};
const shown = (milliseconds) => milliseconds.map((each) => each.toFixed(0)).join(", ");

set.visit("the first paint of the sign-in and of the overview, and a page of a list after its data", {}, async ({ page, server, t }) => {
  await signIn(page);
  const figures = { "sign-in": [], overview: [] };
  for (let visit = 0; visit < VISITS; visit += 1) {
    // Another context: nothing is in its cache.
    const fresh = await visitor(set.browser, server);
    await fresh.page.getByRole("heading", { level: 1, name: "Sign in" }).waitFor();
    figures["sign-in"].push(await painted(fresh.page));
    await fresh.leave();
    await page.reload();
    await page.getByRole("heading", { level: 1, name: "Overview" }).waitFor();
    figures["overview"].push(await painted(page));
  }
  for (const [name, milliseconds] of Object.entries(figures)) {
    assert.ok(milliseconds.every((each) => each > 0), `${name} was painted: ${milliseconds}`);
    t.diagnostic(`first contentful paint of ${name}: ${shown(milliseconds)} ms`);
  }
  // From the last byte of the answer to the frame in which its rows are.
  await page.evaluate((ROWS) => {
    globalThis.rows = new Promise((resolve, reject) => {
      const observer = new MutationObserver(() => {
        const count = document.querySelectorAll("main tbody tr").length;
        if (count < ROWS) return;
        observer.disconnect();
        requestAnimationFrame(() => setTimeout(() => {
          const answer = performance.getEntriesByType("resource").findLast(({ name }) => name.includes("/v1/webhook-subscriptions?"));
          if (answer) resolve({ count, milliseconds: performance.now() - answer.responseEnd });
          else reject(new Error("the answer is not among the resources"));
        }));
      });
      observer.observe(document.body, { childList: true, subtree: true });
    });
  }, ROWS);
  await page.getByRole("link", { name: "Subscriptions" }).click();
  const { count, milliseconds } = await page.evaluate(() => globalThis.rows);
  t.diagnostic(`a list of ${count} rows: ${milliseconds.toFixed(0)} ms after its data`);
});
