/** An empty folder, one command, a browser, no documentation: from the link of the first start to the first signed request. */

import assert from "node:assert/strict";
import { PHONE } from "./support/browser.mjs";
import { signIn, stage } from "./support/stage.mjs";

const { visit } = stage();

/** A person who reads each step first needs about this long for one. */
const READING_SECONDS = 10;
const MINUTES_MAX = 3;

visit("the first steps lead to a signed request in under three minutes", {}, async ({ page, server, t, examine, shoot }) => {
  const begun = performance.now();
  let steps = 0;
  const step = async (act) => {
    steps += 1;
    await act;
  };
  const link = server.said.join("\n").match(/http:\S+\/#\/setup\/\S+/)?.[0];
  await step(page.goto(link));
  await step(page.getByLabel("E-mail").fill("ana@example.com"));
  await step(page.getByLabel("New password").fill("a wax wing is a bird"));
  await step(page.getByRole("button", { name: "Go on" }).click());
  await page.getByRole("heading", { name: "First steps" }).waitFor();
  await examine("the first steps");
  await shoot("first-run-1");
  await step(page.getByRole("button", { name: "Make it" }).click());
  await step(page.getByRole("button", { name: "Subscribe it" }).click());
  await step(page.getByRole("button", { name: /^Send / }).click());
  await page.getByText("Signature valid").waitFor();
  await shoot("first-run-2");
  await step(page.getByText("See the signed request").click());
  await page.getByText("webhook-signature").first().waitFor();
  await step(page.getByRole("button", { name: "Make a key" }).click());
  await page.getByText("The key is shown this once.").waitFor();
  await examine("the first steps, done");
  await shoot("first-run-3");
  const command = await page.locator("pre, code").filter({ hasText: "curl " }).first().innerText();
  assert.match(command, /\/v1\/events/);
  const seconds = (performance.now() - begun) / 1000;
  const read = steps * READING_SECONDS + seconds;
  t.diagnostic(`first run: ${steps} steps in ${seconds.toFixed(1)} s; for one who reads for ${READING_SECONDS} s before each, ${(read / 60).toFixed(1)} minutes`);
  assert.ok(read < MINUTES_MAX * 60, `${steps} steps are too many for ${MINUTES_MAX} minutes`);
});

visit("the built-in receiver shows what came, and answers as it is told", { size: PHONE }, async ({ page, server, examine, fits, shoot }) => {
  await signIn(page);
  await page.goto(`${server.url}/#/test-receiver`);
  await page.getByText("Signature valid").first().waitFor();
  await examine("the test receiver");
  await fits("the test receiver");
  await shoot("test-receiver-phone");
  await page.getByLabel("Receiver").selectOption("first-steps");
  await page.getByText("500", { exact: true }).click();
  await page.getByText("Everything fails").waitFor();
  const [type] = (await server.api("GET", "/v1/event-types")).data;
  await server.api("POST", "/v1/events", { type: type.attributes.name, data: type.attributes.example });
  await page.getByRole("listitem").getByText("500").first().waitFor();
});
