/** What a person does with a subscription: make it, test it, rotate its secret, pause it, recover what it missed, delete it. */

import assert from "node:assert/strict";
import { signIn, stage } from "./support/stage.mjs";

const { visit } = stage();

/** A subscription of its own for each test, made by API, and the page about it. */
async function standing({ page, server, receiving }, answer) {
  const inbox = await receiving(answer);
  const made = await server.api("POST", "/v1/webhook-subscriptions", { url: `${inbox.url}/hook`, events: ["order.*"], retry_schedule: [600] });
  await signIn(page);
  await page.goto(`${server.url}/#/subscriptions/${made.data.id}`);
  await page.getByRole("button", { name: "Send test" }).waitFor();
  return { inbox, id: made.data.id, secret: made.data.attributes.secret };
}

async function typeOfEvent(server) {
  await server.api("POST", "/v1/event-types", { name: "order.paid" }).catch(() => {});
}

async function publish(server, data) {
  await typeOfEvent(server);
  await server.api("POST", "/v1/events", { type: "order.paid", data });
}

visit("a subscription is made: its secret is shown once and can be copied", {}, async ({ page, context, server, examine, shoot }) => {
  await context.grantPermissions(["clipboard-read", "clipboard-write"]);
  await signIn(page);
  await page.getByRole("link", { name: "Subscriptions", exact: true }).click();
  await page.getByText("No subscriptions yet").waitFor();
  await examine("no subscriptions");
  await shoot("subscriptions-empty");
  await page.getByRole("link", { name: "New subscription" }).click();
  await page.getByLabel("URL").fill("https://shop.example/webhooks");
  await page.getByRole("textbox", { name: "Events" }).fill("order.*");
  await page.getByText("More settings").click();
  await examine("the form of a subscription");
  await shoot("subscription-form");
  await page.getByRole("button", { name: "Create" }).click();
  const dialog = page.getByRole("dialog", { name: "Signing secret" });
  const secret = await dialog.locator("code").innerText();
  assert.match(secret, /^whsec_/);
  await examine("a secret shown once");
  await shoot("secret");
  // It is said for a moment only.
  const copied = dialog.getByText("Copied").first().waitFor();
  await dialog.getByRole("button", { name: "Copy" }).click();
  await copied;
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), secret);
  await dialog.getByRole("button", { name: "I have it" }).click();
  await page.getByRole("heading", { level: 1, name: "shop.example/webhooks" }).waitFor();
  const { data } = await server.api("GET", "/v1/webhook-subscriptions");
  assert.deepEqual(data.map(({ attributes }) => attributes.url), ["https://shop.example/webhooks"]);
  assert.ok(!(await page.content()).includes(secret), "the secret is still on the page");
});

visit("what is wrong with a form stands at its field", {}, async ({ page, server, expect, examine, shoot }) => {
  expect(/status of 4\d\d .*\/v1\/webhook-subscriptions/);
  await signIn(page);
  await page.goto(`${server.url}/#/subscriptions/new`);
  await page.getByLabel("URL").fill("http://169.254.169.254/latest");
  await page.getByRole("textbox", { name: "Events" }).fill("not a type!");
  await page.getByRole("button", { name: "Create" }).click();
  await page.locator("[aria-invalid=true]").first().waitFor();
  await examine("a refused form");
  await shoot("subscription-form-refused");
});

visit("what is changed is saved, and only that", {}, async ({ page, server, receiving }) => {
  const { id } = await standing({ page, server, receiving });
  await page.getByRole("link", { name: "Edit" }).click();
  await page.getByLabel("Description").fill("Enterprise resource planning");
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByText("Saved").waitFor();
  await page.getByText("Enterprise resource planning").waitFor();
  const { data } = await server.api("GET", `/v1/webhook-subscriptions/${id}`);
  assert.deepEqual([data.attributes.description, data.attributes.events, data.attributes.retry_schedule], ["Enterprise resource planning", ["order.*"], [600]]);
});

visit("a test is sent now and its answer shown", {}, async ({ page, server, receiving, examine, shoot }) => {
  const { inbox } = await standing({ page, server, receiving }, () => 200);
  await page.getByRole("button", { name: "Send test" }).click();
  const dialog = page.getByRole("dialog", { name: "Send test" });
  await dialog.getByRole("button", { name: "Send test" }).click();
  await dialog.getByText("The receiver took it").waitFor();
  assert.equal(inbox.received.length, 1);
  inbox.answer = () => 503;
  await dialog.getByRole("button", { name: "Send again" }).click();
  await dialog.getByText("The receiver did not take it").waitFor();
  await dialog.getByText("503", { exact: true }).waitFor();
  await dialog.getByText("as it is told").waitFor();
  await examine("a test that failed");
  await shoot("subscription-test");
});

visit("a secret is rotated, and both sign until the old one ends", {}, async ({ page, server, receiving, examine, shoot }) => {
  const { inbox, secret } = await standing({ page, server, receiving });
  await page.getByRole("button", { name: "More" }).click();
  await examine("an open menu");
  await page.getByRole("menuitem", { name: "Rotate secret" }).click();
  await page.getByLabel("The old secret goes on signing for").selectOption({ label: "1 hour" });
  await page.getByRole("button", { name: "Rotate" }).click();
  const dialog = page.getByRole("dialog", { name: "Signing secret" });
  assert.notEqual(await dialog.locator("code").innerText(), secret);
  await dialog.getByRole("button", { name: "I have it" }).click();
  await page.getByText("The old secret signs until").waitFor();
  await shoot("subscription-rotated");
  const arrived = inbox.next();
  await publish(server, 1);
  assert.equal((await arrived).headers["webhook-signature"].split(" ").length, 2);
});

visit("paused, deliveries wait and are counted; resumed, they arrive", {}, async ({ page, server, receiving, examine, shoot }) => {
  const { inbox } = await standing({ page, server, receiving });
  await page.getByRole("button", { name: "Pause" }).click();
  const dialog = page.getByRole("dialog", { name: "Pause" });
  await dialog.getByRole("button", { name: "Pause" }).click();
  await page.getByText("It is paused: deliveries wait").waitFor();
  await publish(server, 1);
  await page.getByRole("tab", { name: "Deliveries" }).click();
  await page.getByText("Held").waitFor();
  await examine("the deliveries of one subscription");
  await shoot("subscription-deliveries");
  assert.equal(inbox.received.length, 0);
  const [arrived, told] = [inbox.next(), page.getByText("Deliveries go on").waitFor()];
  await page.getByRole("button", { name: "Resume" }).click();
  await Promise.all([arrived, told]);
});

visit("what failed is counted, queued again, and arrives", {}, async ({ page, server, receiving, examine, shoot }) => {
  const { inbox, id } = await standing({ page, server, receiving }, () => 410);
  const refused = inbox.next();
  await publish(server, { total: 1 });
  await refused;
  inbox.answer = () => 200;
  await page.getByText("disabled: the receiver answered 410").waitFor();
  await examine("a disabled subscription");
  await shoot("subscription-disabled");
  await page.getByRole("button", { name: "Resume" }).click();
  await page.getByText("Deliveries go on").waitFor();
  await page.getByRole("button", { name: "More" }).click();
  await page.getByRole("menuitem", { name: "Recover" }).click();
  await page.getByRole("button", { name: "Count them" }).click();
  await page.getByText("1 delivery would be queued again.").waitFor();
  await examine("recovery, counted");
  await shoot("subscription-recover");
  const arrived = inbox.next();
  await page.getByRole("button", { name: "Queue them again" }).click();
  await arrived;
  const { data } = await server.api("GET", `/v1/webhook-subscriptions/${id}`);
  assert.equal(data.attributes.is_active, true);
});

visit("it is deleted only when its name was typed, all by keyboard", {}, async ({ page, server, receiving, examine }) => {
  const { inbox, id } = await standing({ page, server, receiving });
  await page.getByRole("button", { name: "More" }).focus();
  await page.keyboard.press("Enter");
  // Up from the first item is the last one: delete.
  await page.keyboard.press("ArrowUp");
  await page.keyboard.press("Enter");
  const dialog = page.getByRole("dialog", { name: "Delete" });
  const button = dialog.getByRole("button", { name: "Delete" });
  await dialog.waitFor();
  assert.ok(await button.isDisabled());
  await examine("a confirmation with a name");
  await dialog.getByRole("textbox").focus();
  await page.keyboard.type(inbox.url.replace("http://", "") + "/hook");
  await page.keyboard.press("Enter");
  await page.getByText("The subscription is deleted").waitFor();
  const { data } = await server.api("GET", "/v1/webhook-subscriptions");
  assert.ok(!data.some((one) => one.id === id));
});

visit("how to verify is told in every language with the real names of the headers", {}, async ({ page, server, receiving, examine, shoot }) => {
  await standing({ page, server, receiving });
  await page.getByRole("tab", { name: "Verify" }).click();
  for (const language of ["Node", "Python", "Go", "Ruby", "PHP", "Rust", "C#", "Java"]) {
    await page.getByText(language, { exact: false }).first().waitFor();
  }
  await page.getByText("webhook-signature").first().waitFor();
  await examine("how to verify");
  await shoot("subscription-verify");
});

visit("a delivery is tried now, and the page shows what came of it by itself", {}, async ({ page, context, server, receiving }) => {
  await context.grantPermissions(["clipboard-read", "clipboard-write"]);
  const { inbox, id } = await standing({ page, server, receiving }, () => 500);
  const refused = inbox.next();
  await publish(server, { total: 3 });
  await refused;
  await page.goto(`${server.url}/#/deliveries?subscription_id=${id}`);
  await page.getByRole("table").getByText("Retrying").waitFor();
  await page.getByRole("table").getByRole("link", { name: "order.paid" }).click();
  await page.getByRole("button", { name: "Copy as curl" }).click();
  while (!/^curl .*webhook-signature/s.test(await page.evaluate(() => navigator.clipboard.readText())));
  inbox.answer = () => 200;
  await page.getByRole("button", { name: "Try now" }).click();
  await page.getByText("Attempt 2").waitFor();
  await page.getByText("Delivered").first().waitFor();
});

visit("a delivery that waits is canceled", {}, async ({ page, server, receiving }) => {
  const { inbox, id } = await standing({ page, server, receiving }, () => 500);
  const refused = inbox.next();
  await publish(server, { total: 3 });
  await refused;
  await page.goto(`${server.url}/#/deliveries?subscription_id=${id}`);
  await page.getByRole("table").getByText("Retrying").waitFor();
  await page.getByRole("table").getByRole("link", { name: "order.paid" }).click();
  await page.getByRole("button", { name: "Cancel delivery" }).click();
  await page.getByRole("dialog", { name: "Cancel delivery" }).getByRole("button", { name: "Cancel delivery" }).click();
  await page.getByText("Canceled").first().waitFor();
});
