/** Signing in with a key, the overview, and the frame around every page. */

import assert from "node:assert/strict";
import { signIn, stage } from "./support/stage.mjs";
import { ADMIN_KEY } from "./support/waxwing.mjs";

const { visit } = stage();

visit("a wrong key is refused with its code and the request's id, the right one lets in", {}, async ({ page, expect, examine, shoot }) => {
  expect(/status of 401 .*\/v1\//);
  await examine("sign-in");
  await shoot("sign-in");
  await page.getByRole("tab", { name: "API key" }).click();
  await page.getByLabel("Instance API key").fill("wrong");
  await page.keyboard.press("Enter");
  const alert = page.getByRole("alert");
  await alert.waitFor();
  assert.match(await alert.innerText(), /request/i);
  await examine("a refused sign-in");
  await signIn(page);
});

visit("an attempt appears in the live tail as it is made", {}, async ({ page, server, receiving, examine, shoot }) => {
  const inbox = await receiving();
  await server.api("POST", "/v1/event-types", { name: "order.paid" });
  await server.api("POST", "/v1/webhook-subscriptions", { url: inbox.url, events: ["order.paid"] });
  await signIn(page);
  const live = page.getByRole("table", { name: "Live", exact: true });
  await page.getByText("Waiting for something to happen").waitFor();
  await shoot("overview-empty");
  await server.api("POST", "/v1/events", { type: "order.paid", data: { total: 5 } });
  await live.getByText("order.paid").waitFor();
  await live.getByText("200", { exact: true }).waitFor();
  await examine("the overview");
  await shoot("overview");
});

visit("what needs somebody is one line with its count, and leads to the list and to the one that has it longest", {}, async ({ page, server, examine, fits, shoot }) => {
  await server.api("PUT", "/v1/test-receiver/receivers/sick", { behaviour: "fail" });
  await server.api("POST", "/v1/event-types", { name: "order.sick" });
  await server.api("POST", "/v1/webhook-subscriptions", { url: "https://test-receiver.invalid/sick", events: ["order.sick"] });
  for (let count = 0; count < 10; count += 1) await server.api("POST", "/v1/events", { type: "order.sick", data: { count } });
  const failing = async () => (await server.api("GET", "/v1/status")).data.attributes.subscriptions.failing.count;
  while ((await failing()) === 0);
  await signIn(page);
  const line = page.getByRole("listitem").filter({ hasText: "Failing" });
  await line.getByRole("link", { name: "test-receiver.invalid/sick" }).waitFor();
  await page.getByRole("heading", { name: "Server" }).waitFor();
  await examine("the overview of an instance in trouble");
  await fits("the overview");
  await shoot("overview-trouble");
  await line.getByRole("link", { name: "1 subscription" }).click();
  await page.getByRole("heading", { level: 1, name: "Subscriptions" }).waitFor();
  await page.getByRole("link", { name: "test-receiver.invalid/sick" }).click();
  await page.getByText("Next try").waitFor();
  await shoot("subscription-failing");
});

for (const [locale, title] of Object.entries({ "es-AR": "Iniciar sesión", "pt-BR": "Entrar", "de-DE": "Sign in" })) {
  visit(`whoever reads ${locale} is spoken to in a language that is near`, { locale }, async ({ page }) => {
    await page.getByRole("heading", { level: 1, name: title }).waitFor();
    await page.getByRole("button", { name: "Português" }).click();
    await page.getByRole("heading", { level: 1, name: "Entrar" }).waitFor();
    await page.reload();
    await page.getByRole("heading", { level: 1, name: "Entrar" }).waitFor();
  });
}

visit("keys lead to the list of keys and back to where one was", {}, async ({ page, examine }) => {
  // Before there is a user, a key is the way in that is offered first: from its tab into its field.
  await page.getByRole("tab", { name: "API key", selected: true }).focus();
  await page.keyboard.press("Tab");
  await page.keyboard.type(ADMIN_KEY);
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { level: 1, name: "Overview" }).waitFor();
  await page.keyboard.press("?");
  const help = page.getByRole("dialog", { name: "Keyboard" });
  await help.waitFor();
  await examine("the list of keys");
  await page.keyboard.press("Escape");
  await help.waitFor({ state: "detached" });
  for (const [letter, name] of [["s", "Subscriptions"], ["d", "Deliveries"], ["o", "Overview"]]) {
    await page.keyboard.type(`g${letter}`);
    await page.getByRole("heading", { level: 1, name }).waitFor();
  }
});

visit("a key that is revoked ends the sign-in, and another one leads back to the page", {}, async ({ page, server, expect }) => {
  expect(/status of 401 .*\/v1\//);
  const key = await server.api("POST", "/v1/api-keys", { name: "short", preset: "full_access", tenant: null });
  await signIn(page, key.data.attributes.secret);
  // What the page asked for first is answered: what it asks next is refused.
  await page.getByRole("heading", { name: "Server" }).waitFor();
  await page.getByText("Attempts per minute", { exact: true }).waitFor();
  await server.api("DELETE", `/v1/api-keys/${key.data.id}`);
  await page.getByText("24 hours").click();
  await page.getByText("Your session has ended").waitFor();
  await signIn(page);
});
