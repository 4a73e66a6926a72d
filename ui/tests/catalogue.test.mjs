/** What a person does with event types, events, tenants and keys. */

import assert from "node:assert/strict";
import { signIn, stage } from "./support/stage.mjs";

const { visit } = stage();

visit("an event type is made, an event of it sent by hand, found by its text, and sent again", {}, async ({ page, server, receiving, expect }) => {
  expect(/status of 400 .*\/v1\/events/);
  const inbox = await receiving();
  await signIn(page);
  await page.getByRole("link", { name: "Event types" }).click();
  await page.getByText("The catalogue is empty").waitFor();
  await page.getByRole("link", { name: "New event type" }).first().click();
  await page.getByRole("textbox", { name: "Name" }).fill("order.paid");
  await page.getByRole("textbox", { name: "Schema" }).fill('{"type":"object","required":["total"]}');
  await page.getByRole("textbox", { name: "Example" }).fill('{"total":"12.50"}');
  await page.getByRole("button", { name: "Create" }).click();
  await page.getByRole("heading", { level: 1, name: "order.paid" }).waitFor();
  await server.api("POST", "/v1/webhook-subscriptions", { url: inbox.url, events: ["order.paid"] });
  await page.goto(`${server.url}/#/events/new`);
  await page.getByLabel("Event type").selectOption("order.paid");
  const payload = page.getByRole("textbox", { name: "Payload" });
  await payload.fill('{"customer":"Ana"}');
  await page.getByRole("button", { name: "Send", exact: true }).click();
  // The schema of the type refuses it, and says so at the field.
  await page.locator("textarea[aria-invalid=true]").waitFor();
  await payload.fill('{"customer":"Ana Lucía","total":"3.00"}');
  const arrived = inbox.next();
  await page.getByRole("button", { name: "Send", exact: true }).click();
  assert.match((await arrived).body, /"customer":"Ana Lucía"/);
  // The form leads to what it sent.
  await page.getByText("As it came").first().waitFor();
  await page.goto(`${server.url}/#/events`);
  await page.getByLabel("Id, or text in the payload").fill("Ana Lucía");
  await page.keyboard.press("Enter");
  await page.getByRole("table", { name: "Events" }).getByRole("link", { name: "order.paid" }).click();
  await page.getByText("As it came").first().waitFor();
  await page.getByRole("button", { name: "Send again" }).click();
  const again = inbox.next();
  await page.getByRole("dialog").getByRole("button", { name: "Send again" }).click();
  await again;
  // It is one event however often it is sent: the catalogue says how much is published of each type.
  const published = async () => (await server.api("GET", "/v1/stats/event-types?resolution=day")).data.attributes.event_types[0]?.events_published;
  while ((await published()) !== 1);
  await page.goto(`${server.url}/#/event-types`);
  const row = page.getByRole("row").filter({ hasText: "order.paid" });
  // One subscribes, and one was published.
  await row.getByRole("cell", { name: "1", exact: true }).nth(1).waitFor();
});

const DOCUMENT = {
  openapi: "3.1.0",
  info: { title: "Shop", version: "1" },
  webhooks: {
    "invoice.paid": { post: { summary: "An invoice was paid", requestBody: { content: { "application/json": { schema: { type: "object" } } } }, responses: { 200: { description: "Taken" } } } },
  },
};

visit("event types are imported from a document after a look at what would change", {}, async ({ page, server, examine, shoot }) => {
  await signIn(page);
  await page.goto(`${server.url}/#/event-types/import`);
  await page.getByRole("textbox", { name: "Document" }).fill(JSON.stringify(DOCUMENT));
  await page.getByRole("button", { name: "See what would change" }).click();
  const button = page.getByRole("button", { name: "Import 1 event type" });
  await button.waitFor();
  await examine("an import before it is made");
  await shoot("event-type-import-checked");
  await button.click();
  await page.getByText("1 event type was imported").waitFor();
  const { data } = await server.api("GET", "/v1/event-types/invoice.paid");
  assert.equal(data.id ?? data.attributes.name, "invoice.paid");
});

visit("a tenant is made, and deleted only when its name was typed", {}, async ({ page, server, examine, shoot }) => {
  await signIn(page);
  await page.goto(`${server.url}/#/tenants`);
  await page.getByRole("link", { name: "New tenant" }).click();
  await page.getByRole("textbox", { name: "Name", exact: true }).fill("Casa Verde");
  await page.getByRole("button", { name: "Create" }).click();
  await page.getByRole("heading", { level: 1, name: "Casa Verde" }).waitFor();
  await page.getByRole("button", { name: "More" }).click();
  await page.getByRole("menuitem", { name: "Delete" }).click();
  const dialog = page.getByRole("dialog");
  const button = dialog.getByRole("button", { name: "Delete" });
  await button.waitFor();
  assert.ok(await button.isDisabled());
  await examine("deleting a tenant");
  await shoot("tenant-delete");
  await dialog.getByRole("textbox").fill("Casa Verde");
  await button.click();
  await page.getByText("The tenant is deleted").waitFor();
  const { data } = await server.api("GET", "/v1/tenants");
  assert.ok(!data.some(({ attributes }) => attributes.name === "Casa Verde"));
});

visit("a key is made, its text shown once, and revoked", {}, async ({ page, server, examine, shoot }) => {
  await signIn(page);
  await page.goto(`${server.url}/#/keys`);
  await page.getByRole("link", { name: "New API key" }).first().click();
  await page.getByRole("textbox", { name: "Name" }).fill("Checkout");
  await page.getByRole("button", { name: "Create" }).click();
  const dialog = page.getByRole("dialog", { name: "The new key" });
  const key = await dialog.locator("code").innerText();
  await examine("a key shown once");
  await shoot("key-made");
  const event = { type: "order.paid", data: { total: "1.00" } };
  await server.api("POST", "/v1/events", event, { key });
  await page.keyboard.press("Escape");
  const row = page.getByRole("row", { name: "Checkout" });
  await row.getByRole("button", { name: "Revoke" }).click();
  await page.getByRole("dialog").getByRole("textbox").fill("Checkout");
  await page.getByRole("dialog").getByRole("button", { name: "Revoke" }).click();
  await page.getByText("The key is revoked").waitFor();
  await assert.rejects(server.api("POST", "/v1/events", event, { key }), /401/);
});

visit("a key is made of every kind, with its channel, its rates and its end, or brought along", {}, async ({ page, server, expect, examine, fits, shoot }) => {
  expect(/status of 400 .*\/v1\/api-keys/);
  await server.api("POST", "/v1/event-types", { name: "key.used" });
  await signIn(page);
  await page.goto(`${server.url}/#/keys/new`);
  await page.getByLabel("Name").fill("A shop");
  await page.getByLabel("May", { exact: true }).selectOption("scopes");
  await page.getByText("Kind, rates and a key of your own").click();
  await page.getByLabel("Kind", { exact: true }).selectOption("marea_user");
  await page.getByLabel("developer:webhooks").check();
  await page.getByLabel("Only these channels").fill("one");
  await page.getByLabel("Only these events").fill("order.*");
  await page.getByLabel("Expires after").selectOption("on");
  await page.getByLabel("On a day of your choice").fill("2031-05-06T07:08");
  await page.getByLabel("Calls a second").fill("many");
  await page.getByRole("button", { name: "Create" }).click();
  await page.locator("input[aria-invalid=true]").waitFor();
  await examine("the form of a key with a problem");
  await fits("the form of a key");
  await shoot("key-new-full");
  await page.getByLabel("Calls a second").fill("7");
  await page.getByLabel("Events a second").fill("off");
  await page.getByRole("button", { name: "Create" }).click();
  const made = page.getByRole("dialog", { name: "The new key" });
  assert.match(await made.locator("code").innerText(), /^mk_user_/);
  await made.getByRole("button", { name: "I have it" }).click();
  await page.getByRole("table", { name: "API keys" }).getByText("A shop").waitFor();

  await page.goto(`${server.url}/#/keys/new`);
  await page.getByLabel("Name").fill("Brought along");
  await page.getByText("Kind, rates and a key of your own").click();
  await page.getByLabel("A key that exists").fill("text-of-a-key-in-use-elsewhere-31415");
  await page.getByRole("button", { name: "Create" }).click();
  await page.getByRole("table", { name: "API keys" }).getByText("Brought along").waitFor();
  await server.api("POST", "/v1/events", { type: "key.used", data: {} }, { key: "text-of-a-key-in-use-elsewhere-31415" });

  const shown = Object.fromEntries((await server.api("GET", "/v1/api-keys")).data.map(({ attributes }) => [attributes.name, attributes]));
  const { kind, channels, allowed_events, expires_at, rate_limits, scopes } = shown["A shop"];
  assert.deepEqual({ kind, channels, allowed_events, expires_at, rate_limits }, { kind: "marea_user", channels: ["one"], allowed_events: ["order.*"], expires_at: "2031-05-06T05:08:00.000Z", rate_limits: { management: 7, publish: null } });
  assert.deepEqual(scopes.toSorted(), ["deliveries:read", "subscriptions:read", "subscriptions:write"]);
  assert.equal(shown["Brought along"].preset, "publish_only");
});
