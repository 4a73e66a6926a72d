/** Backups are made, fetched and removed in the console, and one becomes another instance's beginning. */

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { visitor } from "./support/browser.mjs";
import { signIn, stage } from "./support/stage.mjs";
import { waxwing } from "./support/waxwing.mjs";

const set = stage({ prepare: (server) => server.api("POST", "/v1/event-types", { name: "order.paid" }) });
const { visit } = set;

const PASSPHRASE = "a wax wing is a bird";
const kept = { file: null };

visit("a backup is made with a passphrase, fetched, and others are removed", {}, async ({ page, server, expect, examine, fits, shoot }) => {
  expect(/status of 400 .*\/v1\/backups/);
  await signIn(page);
  await page.goto(`${server.url}/#/backups`);
  await page.getByText("There is no backup yet").waitFor();
  await examine("no backup");
  await shoot("backups-none");
  for (const passphrase of [PASSPHRASE, ""]) {
    await page.getByRole("button", { name: "Back up now" }).click();
    const dialog = page.getByRole("dialog");
    if (passphrase !== "") {
      await dialog.getByLabel("Passphrase").fill("too short");
      await dialog.getByRole("button", { name: "Back up now" }).click();
      await dialog.getByText("12 to 1,024 characters").waitFor();
      await examine("a short passphrase");
    }
    await dialog.getByLabel("Passphrase").fill(passphrase);
    await dialog.getByRole("button", { name: "Back up now" }).click();
    await dialog.waitFor({ state: "detached" });
    await page.getByRole("row").filter({ hasText: passphrase === "" ? /Complete(?!.*Encrypted)/ : "Encrypted" }).filter({ hasText: "Complete" })
      // A backup gives way to everything else on the machine.
      .waitFor({ timeout: 120_000 });
  }
  await examine("backups");
  await fits("backups");
  await shoot("backups");
  const download = page.waitForEvent("download");
  await page.getByRole("row").filter({ hasText: "Encrypted" }).getByRole("link", { name: /^Download/ }).click();
  const fetched = await download;
  assert.match(fetched.suggestedFilename(), /^waxwing-.*-sealed\.backup$/);
  kept.file = join(server.folder, "fetched.backup");
  await fetched.saveAs(kept.file);
  assert.equal((await readFile(kept.file)).subarray(0, 16).toString(), "waxwing backup 1");
  await page.getByRole("row").filter({ hasText: "Complete" }).filter({ hasNotText: "Encrypted" }).getByRole("button", { name: /^Delete/ }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
  await page.getByText("The backup is deleted").waitFor();
  assert.equal((await server.api("GET", "/v1/backups")).data.length, 1);
});

visit("a schedule is chosen", {}, async ({ page, server }) => {
  await signIn(page);
  await page.goto(`${server.url}/#/backups`);
  await page.getByLabel("A backup").selectOption("24");
  await page.getByText("The setting holds from now on").waitFor();
  await page.getByLabel("Keep").selectOption("14");
  const values = async () => Object.fromEntries((await server.api("GET", "/v1/settings")).data.map(({ id, attributes }) => [id, attributes.value]));
  await page.waitForFunction(() => document.querySelectorAll("select:disabled").length === 0);
  const found = await values();
  assert.deepEqual([found["backups.every_hours"], found["backups.keep"]], [24, 14]);
});

visit("an empty instance goes on with a backup in place of a first user", {}, async () => {
  const other = await waxwing();
  const { page, expect, examine, fits, shoot, leave } = await visitor(set.browser, other);
  // Between two stores it answers nobody, or that it has none.
  expect(/Failed to load resource/);
  try {
    const link = other.said.join("\n").match(/http:\S+\/#\/setup\/\S+/)?.[0];
    await page.goto(link);
    await page.getByRole("button", { name: "Restore a backup instead" }).click();
    await examine("restoring");
    await fits("restoring");
    await shoot("restore");
    await page.getByLabel("Backup").setInputFiles(kept.file);
    await page.getByLabel("Passphrase").fill("not the right one");
    await page.getByRole("button", { name: "Restore" }).click();
    await page.getByRole("alert").getByText("not the one that the backup was made with").waitFor();
    await shoot("restore-failed");
    await page.getByLabel("Passphrase").fill(PASSPHRASE);
    await page.getByRole("button", { name: "Restore" }).click();
    // Nobody signed in before the backup was made but by a key: so one does here.
    await page.getByRole("heading", { level: 1, name: "Sign in" }).waitFor();
    assert.deepEqual((await other.api("GET", "/v1/event-types")).data.map(({ id }) => id), ["order.paid"]);
    await leave();
  } finally {
    await other.stop();
  }
});
