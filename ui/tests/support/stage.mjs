/** What every file of tests begins with: one server, one browser, and visits that are ended and judged. */

import { after, before, test } from "node:test";
import { browser, visitor } from "./browser.mjs";
import { receiver } from "./receiver.mjs";
import { ADMIN_KEY, waxwing } from "./waxwing.mjs";

/** A test that hangs fails with its name. */
const TEST_MILLISECONDS_MAX = 600_000;

/**
 * Sets the stage for the tests of a file; `prepare` is given the server before the first one. `visit(name, options, act)` is a test in which a visitor with a fresh profile has come to
 * the server's first page; at its end nothing may have gone wrong in the browser. `receiving` starts a receiver for the time of the test.
 */
export function stage({ prepare = async () => {} } = {}) {
  const set = { server: null, browser: null, visit };
  before(async () => {
    [set.server, set.browser] = await Promise.all([waxwing(), browser()]);
    await prepare(set.server);
  }, { timeout: TEST_MILLISECONDS_MAX });
  after(async () => {
    await set.browser?.close();
    await set.server?.stop();
  });
  return set;

  function visit(name, options, act) {
    test(name, { timeout: TEST_MILLISECONDS_MAX }, async (t) => {
      const visit = await visitor(set.browser, set.server, options);
      const receivers = [];
      const receiving = async (answer) => {
        receivers.push(await receiver(answer));
        return receivers.at(-1);
      };
      try {
        await act({ ...visit, server: set.server, receiving, t });
      } catch (error) {
        await visit.shoot(`failed ${name}`);
        await visit.leave().catch((troubles) => t.diagnostic(troubles.message));
        throw error;
      } finally {
        for (const each of receivers) await each.stop();
      }
      await visit.leave();
    });
  }
}

export async function signIn(page, key = ADMIN_KEY) {
  await page.getByRole("tab", { name: "API key" }).click();
  await page.getByLabel("Instance API key").fill(key);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("heading", { level: 1, name: "Overview" }).waitFor();
}
