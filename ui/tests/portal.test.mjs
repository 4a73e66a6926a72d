/** The customer portal: what a tenant's own people do there, and what they cannot. */

import assert from "node:assert/strict";
import { PHONE, SMALL_PHONE } from "./support/browser.mjs";
import { site } from "./support/site.mjs";
import { signIn, stage } from "./support/stage.mjs";

const { visit } = stage({ prepare });

const LOGO = `data:image/svg+xml;base64,${btoa('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><path fill="#0a7d5a" d="M16 2 30 28H2z"/></svg>')}`;

async function prepare(server) {
  await server.api("POST", "/v1/event-types", { name: "order.paid", description: "When a customer has paid", example: { total: "12.50" } });
  await server.api("PATCH", "/v1/settings", { "portal.name": "Espiga Hooks", "portal.color": "#f2b705", "portal.logo": LOGO });
}

async function tenant(server, name = "Panadería La Espiga") {
  return (await server.api("POST", "/v1/tenants", { name })).data.id;
}

/** The address of a new link into the portal of a tenant. */
async function link(server, tenant, body = {}) {
  const made = await server.api("POST", "/v1/portal-links", body, { tenant });
  return { id: made.data.id, url: made.data.attributes.url };
}

async function enter(page, server, tenant, body) {
  const { id, url } = await link(server, tenant, body);
  await page.goto(url);
  await page.getByRole("heading", { level: 1, name: "Subscriptions" }).waitFor();
  return { id, url };
}

/** Something of each kind that has a page: a subscription, an event, and a delivery that was refused. */
async function things(server, tenant, inbox) {
  const made = await server.api("POST", "/v1/webhook-subscriptions", { url: `${inbox.url}/hook`, events: ["order.*"], retry_schedule: [600] }, { tenant });
  const refused = inbox.next();
  const event = await server.api("POST", "/v1/events", { type: "order.paid", data: { total: "12.50" } }, { tenant });
  await refused;
  const path = `/v1/deliveries?filter[subscription_id]=${made.data.id}&filter[state]=retrying`;
  for (;;) {
    const [delivery] = (await server.api("GET", path, undefined, { tenant })).data;
    if (delivery) return { subscription: made.data.id, event: event.data.id, delivery: delivery.id };
  }
}

visit("a customer comes in by a link, subscribes, tests, retries what failed and rotates the secret", {}, async ({ page, context, server, receiving, examine, shoot }) => {
  const own = await tenant(server);
  const inbox = await receiving();
  const { url } = await enter(page, server, own);
  assert.equal(page.url(), `${server.url}/portal#/`, "the token stands in no address");
  assert.ok(!(await page.content()).includes(url.split("#")[1]));
  await page.getByText("No subscriptions yet").waitFor();
  await page.getByText("Panadería La Espiga").first().waitFor();
  await page.getByText("Your session ends").waitFor();
  await examine("an empty portal");
  await shoot("portal-empty");
  await page.getByRole("link", { name: "New subscription" }).click();
  await page.getByLabel("URL").fill(`${inbox.url}/hook`);
  await page.getByRole("textbox", { name: "Events" }).fill("order.*");
  await examine("the form in the portal");
  await page.getByRole("button", { name: "Create" }).click();
  const secret = page.getByRole("dialog", { name: "Signing secret" });
  const first = await secret.locator("code").innerText();
  await secret.getByRole("button", { name: "I have it" }).click();
  await page.getByRole("button", { name: "Send test" }).click();
  const testing = page.getByRole("dialog", { name: "Send test" });
  await testing.getByRole("button", { name: "Send test" }).click();
  await testing.getByText("The receiver took it").waitFor();
  assert.equal(inbox.received.length, 1);
  await page.keyboard.press("Escape");

  inbox.answer = () => 503;
  const refused = inbox.next();
  await server.api("POST", "/v1/events", { type: "order.paid", data: { total: "12.50" } }, { tenant: own });
  await refused;
  await page.getByRole("link", { name: "Deliveries" }).click();
  await page.getByRole("table").getByText("Retrying").waitFor();
  await examine("deliveries in the portal");
  await shoot("portal-deliveries");
  await page.getByRole("table").getByRole("link", { name: "order.paid" }).click();
  inbox.answer = () => 200;
  await page.getByRole("button", { name: "Try now" }).click();
  await page.getByText("Attempt 2").waitFor();
  await page.getByText("Delivered").first().waitFor();
  await examine("a delivery in the portal");
  await shoot("portal-delivery");

  await page.getByRole("link", { name: inbox.url.replace("http://", "") }).first().click();
  await page.getByRole("button", { name: "More" }).click();
  await page.getByRole("menuitem", { name: "Rotate secret" }).click();
  await page.getByRole("button", { name: "Rotate" }).click();
  assert.notEqual(await secret.locator("code").innerText(), first);
  await secret.getByRole("button", { name: "I have it" }).click();
  await page.getByText("The old secret signs until").waitFor();
  await examine("a subscription in the portal");
  await shoot("portal-subscription");
  await page.getByRole("tab", { name: "Verify" }).click();
  await page.getByText("webhook-signature").first().waitFor();

  await page.getByRole("link", { name: "Event types" }).click();
  await page.getByRole("link", { name: "order.paid" }).click();
  await page.getByRole("heading", { name: "order.paid" }).waitFor();
  await page.getByText("12.50").waitFor();
  await examine("an event type in the portal");
  await shoot("portal-event-type");
  for (const name of ["Edit", "Send", "More"]) assert.equal(await page.getByRole("button", { name, exact: true }).or(page.getByRole("link", { name, exact: true })).count(), 0, name);
  assert.deepEqual(await context.cookies(), []);
});

visit("a link lets in once; whoever comes later, or reads the page anew, is told so calmly", {}, async ({ page, server, expect, examine, shoot }) => {
  expect(/status of 401/);
  const { url } = await enter(page, server, await tenant(server));
  await page.reload();
  await page.getByRole("heading", { name: "You need a new link" }).waitFor();
  await examine("the portal without a link");
  await shoot("portal-needs-link");
  await page.goto("about:blank");
  await page.goto(url);
  await page.getByRole("heading", { name: "This link does not work any more" }).waitFor();
  await examine("the portal with a used link");
  await shoot("portal-used-link");
  assert.equal(page.url(), `${server.url}/portal#/`);
  assert.equal(await page.getByRole("alert").count(), 0, "nothing looks like an accident");
  assert.equal(await page.getByRole("navigation").count(), 0);
});

visit("a session that was ended says so and keeps its looks; another link in the same window lets in again", {}, async ({ page, server, expect, shoot }) => {
  expect(/status of 401/);
  const own = await tenant(server);
  const { id } = await enter(page, server, own);
  await server.api("DELETE", `/v1/portal-links/${id}`, undefined, { tenant: own });
  await page.getByRole("link", { name: "Deliveries" }).click();
  await page.getByRole("heading", { name: "Your session has ended" }).waitFor();
  await page.getByText("Espiga Hooks").first().waitFor();
  await shoot("portal-ended");
  await enter(page, server, own);
});

visit("who may only look finds nothing that writes", {}, async ({ page, server, receiving, examine, shoot }) => {
  const own = await tenant(server);
  const inbox = await receiving(() => 503);
  const { subscription, event, delivery } = await things(server, own, inbox);
  await enter(page, server, own, { read_only: true });
  await page.getByText("You can look at everything here, and change nothing.").waitFor();
  const writes = ["New subscription", "Send test", "Pause", "Edit", "More", "Try now", "Cancel delivery", "Send an event", "Send again"];
  const pages = [
    ["/", "table", "Subscriptions"],
    [`/subscriptions/${subscription}`, "heading", "Settings"],
    [`/subscriptions/${subscription}?tab=deliveries`, "link", "order.paid"],
    [`/deliveries/${delivery}`, "heading", "Request"],
    [`/events`, "table", "Events"],
    [`/events/${event}`, "heading", "Where it went"],
    ["/event-types", "table", "Event types"],
  ];
  for (const [path, role, name] of pages) {
    await page.goto(`${server.url}/portal#${path}`);
    await page.getByRole(role, { name, exact: true }).first().waitFor();
    for (const write of writes) {
      const found = page.getByRole("button", { name: write, exact: true }).or(page.getByRole("link", { name: write, exact: true }));
      assert.equal(await found.count(), 0, `${write} on ${path}`);
    }
    await examine(`read-only ${path}`);
  }
  await shoot("portal-read-only");
  for (const path of ["/subscriptions/new", `/subscriptions/${subscription}/edit`]) {
    await page.goto(`${server.url}/portal#${path}`);
    await page.getByText("There is no such page").waitFor();
  }
});

visit("nothing of another tenant is found, whatever address is opened", {}, async ({ page, server, receiving, expect }) => {
  expect(/status of 404/);
  const inbox = await receiving(() => 503);
  const other = await tenant(server, "Somebody else");
  const theirs = await things(server, other, inbox);
  await enter(page, server, await tenant(server));
  const asked = [];
  // As they come: of one that is given up on the way there is no text.
  page.on("response", (response) => {
    if (!response.url().includes("/v1/stream")) asked.push(response.text().then((text) => ({ url: response.url(), text }), () => null));
  });
  for (const path of [`/subscriptions/${theirs.subscription}`, `/subscriptions/${theirs.subscription}/edit`, `/subscriptions/${theirs.subscription}?tab=snippets&tenant=${other}`, `/deliveries/${theirs.delivery}`, `/deliveries/${theirs.delivery}?tenant=${other}`, `/events/${theirs.event}`, `/events/${theirs.event}?tenant=${other}`]) {
    await page.goto(`${server.url}/portal#${path}`);
    await page.getByRole("alert").getByText("not_found", { exact: true }).first().waitFor();
    await page.goto(`${server.url}/portal#/event-types`);
    await page.getByRole("table", { name: "Event types" }).waitFor();
  }
  for (const path of ["/events/new", "/tenants", `/tenants/${other}`, "/keys", "/users", "/settings", "/audit-log", "/portal-links", "/test-receiver", "/account", "/event-types/order.paid/edit"]) {
    await page.goto(`${server.url}/portal#${path}`);
    await page.getByText("There is no such page").waitFor();
    await page.goto(`${server.url}/portal#/event-types`);
    await page.getByRole("table", { name: "Event types" }).waitFor();
  }
  await page.goto(`${server.url}/portal#/deliveries?subscription_id=${theirs.subscription}`);
  await page.getByText("No delivery is like that").waitFor();
  await page.goto(`${server.url}/portal#/events?tenant=${other}`);
  await page.getByText("No event was sent yet").waitFor();
  await page.goto(`${server.url}/portal#/event-types/order.paid`);
  await page.getByText("12.50").waitFor();
  const address = inbox.url.replace("http://", "");
  assert.ok(!(await page.content()).includes(address));
  const answers = (await Promise.all(asked)).filter(Boolean);
  assert.ok(answers.some(({ url }) => url.includes(theirs.subscription)), "nothing was asked at all");
  for (const { url, text } of answers) assert.ok(!text.includes(address), url);
});

visit("who is signed in to the console in the same browser stays that, and is nobody more in the portal", {}, async ({ page, server }) => {
  await signIn(page);
  const own = await tenant(server);
  await enter(page, server, own);
  for (const name of ["Tenants", "Settings", "Users"]) assert.equal(await page.getByRole("link", { name, exact: true }).count(), 0, name);
  await page.reload();
  await page.getByRole("heading", { name: "You need a new link" }).waitFor();
  await page.goto(server.url);
  await page.getByRole("heading", { level: 1, name: "Overview" }).waitFor();
});

visit("who leaves the portal is out at the server, too, and reads what comes next", {}, async ({ page, server, expect, examine, shoot }) => {
  expect(/status of 401/);
  const own = await tenant(server);
  const bearers = [];
  page.on("request", (request) => bearers.push(request.headers()["authorization"]));
  await enter(page, server, own);
  const bearer = bearers.find((text) => text?.startsWith("Bearer wp_"));
  const status = async () => (await fetch(`${server.url}/v1/events`, { headers: { authorization: bearer } })).status;
  assert.equal(await status(), 200);
  await page.getByRole("button", { name: "Leave" }).click();
  await page.getByRole("heading", { name: "You have left" }).waitFor();
  await page.getByText("Espiga Hooks").first().waitFor();
  assert.equal(await status(), 401);
  await examine("the portal that was left");
  await shoot("portal-left");
  await enter(page, server, own);
});

visit("the settings show the brand as the portal does, also while it is being written", {}, async ({ page, server, expect, examine, fits, shoot }) => {
  expect(/status of 400 .*\/v1\/settings/);
  await signIn(page);
  await page.goto(`${server.url}/#/settings`);
  const shown = page.getByRole("figure", { name: "As the portal shows it" });
  await shown.getByText("Espiga Hooks").first().waitFor();
  const button = shown.first().getByText("New subscription").first();
  const colour = (element) => element.evaluate((it) => getComputedStyle(it).backgroundColor);
  assert.equal(await colour(button), "rgb(242, 183, 5)");
  assert.equal(await shown.locator("img").first().getAttribute("src"), LOGO);
  await examine("the settings with a brand");
  await page.getByRole("button", { name: "Edit: portal.color" }).click();
  const editing = page.getByRole("dialog", { name: "portal.color" });
  await editing.getByPlaceholder("#0a7d5a").fill("#0a7d5a");
  // It is drawn a moment after it was written.
  while ((await colour(editing.getByText("New subscription").first())) !== "rgb(10, 125, 90)");
  await examine("a colour being chosen");
  await fits("the settings");
  await shoot("settings-brand");
  await editing.getByPlaceholder("#0a7d5a").fill("#0a7d");
  await editing.getByRole("button", { name: "Save" }).click();
  await editing.getByText("a colour like #0a7d5a").waitFor();
  await editing.getByRole("button", { name: "Cancel" }).click();
  assert.equal(await colour(button), "rgb(242, 183, 5)", "nothing was saved");
});

for (const [mode, options] of Object.entries({ light: {}, dark: { scheme: "dark" }, phone: { size: PHONE }, "small phone": { size: SMALL_PHONE } })) {
  visit(`the portal wears the operator's name, colour and logo, ${mode}`, options, async ({ page, server, receiving, examine, fits, reads, shoot }) => {
    const own = await tenant(server);
    const { subscription, event, delivery } = await things(server, own, await receiving(() => 503));
    await enter(page, server, own);
    await page.getByRole("link", { name: "Espiga Hooks" }).waitFor();
    assert.equal(await page.locator("header img").getAttribute("src"), LOGO);
    assert.equal(await page.title(), "Subscriptions · Espiga Hooks");
    const create = page.getByRole("link", { name: "New subscription" });
    const { color, backgroundColor } = await create.evaluate((element) => {
      const { color, backgroundColor } = getComputedStyle(element);
      return { color, backgroundColor };
    });
    // Yellow is too light for white text.
    assert.deepEqual({ color, backgroundColor }, { color: "rgb(0, 0, 0)", backgroundColor: "rgb(242, 183, 5)" });
    assert.ok(!(await page.locator("body").innerText()).includes("Waxwing"));
    for (const [name, path, role, label] of [
      ["subscriptions", "/", "table", "Subscriptions"],
      ["subscription", `/subscriptions/${subscription}`, "heading", "Settings"],
      ["subscription-edit", `/subscriptions/${subscription}/edit`, "button", "Save"],
      ["deliveries", "/deliveries", "link", "order.paid"],
      ["delivery", `/deliveries/${delivery}`, "heading", "Request"],
      ["events", "/events", "table", "Events"],
      ["event", `/events/${event}`, "heading", "Where it went"],
      ["event-types", "/event-types", "table", "Event types"],
      ["event-type", "/event-types/order.paid", "heading", "order.paid"],
    ]) {
      await page.goto(`${server.url}/portal#${path}`);
      await page.getByRole(role, { name: label, exact: true }).first().waitFor();
      await shoot(`portal-${name} ${mode}`);
      await examine(`${name} in the portal`);
      await fits(`${name} in the portal`);
      await reads(`${name} in the portal`);
    }
  });
}

visit("the portal works in a frame of a site that may show it, without cookies and storage, and in no other", {}, async ({ page, context, server, allow, expect, examine, shoot, t }) => {
  expect(/frame-ancestors/);
  const [friend, stranger] = [await site(), await site()];
  t.after(() => Promise.all([friend.stop(), stranger.stop()]));
  allow(friend.origin);
  allow(stranger.origin);
  await server.api("PATCH", "/v1/settings", { "portal.frame_ancestors": [friend.origin] });
  const own = await tenant(server);
  // As a browser does that lets no frame of another site keep anything.
  await context.addInitScript(() => {
    if (globalThis.self === globalThis.top) return;
    Object.defineProperty(globalThis, "localStorage", {
      get() {
        throw new DOMException("no storage in here", "SecurityError");
      },
    });
  });
  friend.shows = (await link(server, own)).url;
  await page.goto(friend.origin);
  const frame = page.frameLocator("iframe");
  await frame.getByRole("heading", { level: 1, name: "Subscriptions" }).waitFor();
  await frame.getByRole("link", { name: "New subscription" }).click();
  await frame.getByLabel("URL").fill("https://shop.example/webhooks");
  await frame.getByRole("textbox", { name: "Events" }).fill("order.*");
  await frame.getByRole("button", { name: "Create" }).click();
  await frame.getByRole("button", { name: "I have it" }).click();
  await frame.getByRole("heading", { level: 1, name: "shop.example/webhooks" }).waitFor();
  await frame.getByLabel("Appearance").first().selectOption("dark");
  await examine("the portal in a frame");
  await shoot("portal-framed");
  assert.deepEqual(await context.cookies(), []);

  for (const [from, shows] of [
    [stranger, (await link(server, own)).url],
    [friend, `${server.url}/`],
    [stranger, `${server.url}/`],
  ]) {
    from.shows = shows;
    const refused = page.waitForEvent("console", (message) => /frame-ancestors/.test(message.text()));
    await page.goto(from.origin);
    await refused;
    assert.equal(await frame.locator("#app").count(), 0, `${from === friend ? "the friend" : "a stranger"} shows ${shows}`);
  }
});
