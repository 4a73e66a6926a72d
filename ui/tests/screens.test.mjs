/** Every screen with something on it, in light, in dark and on a phone: examined by axe-core, no wider than its window, and drawn for those who want to look. */

import { LARGE_PHONE, PHONE, SMALL_PHONE } from "./support/browser.mjs";
import { receiver } from "./support/receiver.mjs";
import { signIn, stage } from "./support/stage.mjs";
import { ADMIN_KEY } from "./support/waxwing.mjs";

const { visit } = stage({ prepare });
const ids = {};

/** Each screen: its name, its address, and the role and name of what is there when it is read. */
const SCREENS = [
  ["overview", () => "/", "heading", "Live"],
  ["subscriptions", () => "/subscriptions", "table", "Subscriptions"],
  ["subscription-new", () => "/subscriptions/new", "button", "Create"],
  ["subscription", () => `/subscriptions/${ids.subscription}`, "heading", "Settings"],
  ["subscription-edit", () => `/subscriptions/${ids.subscription}/edit`, "button", "Save"],
  ["subscription-deliveries", () => `/subscriptions/${ids.subscription}?tab=deliveries`, "link", "order.paid"],
  ["subscription-verify", () => `/subscriptions/${ids.subscription}?tab=snippets`, "tab", "Python"],
  ["deliveries", () => "/deliveries", "link", "order.paid"],
  ["deliveries-none", () => "/deliveries?event_type=order.lost", "heading", "Deliveries"],
  ["delivery", () => `/deliveries/${ids.delivery}`, "heading", "Request"],
  ["events", () => "/events", "table", "Events"],
  ["event", () => `/events/${ids.event}`, "heading", "Where it went"],
  ["event-new", () => "/events/new", "button", "Send"],
  ["event-types", () => "/event-types", "table", "Event types"],
  ["event-type", () => "/event-types/order.paid", "heading", "order.paid"],
  ["event-type-new", () => "/event-types/new", "button", "Create"],
  ["event-type-edit", () => "/event-types/order.paid/edit", "button", "Save"],
  ["event-type-import", () => "/event-types/import", "button", "See what would change"],
  ["tenants", () => "/tenants", "table", "Tenants"],
  ["tenant", () => `/tenants/${ids.tenant}`, "heading", "Panadería La Espiga"],
  ["tenant-new", () => "/tenants/new", "button", "Create"],
  ["tenant-edit", () => `/tenants/${ids.tenant}/edit`, "button", "Save"],
  ["keys", () => "/keys", "table", "API keys"],
  ["key-new", () => "/keys/new", "button", "Create"],
  ["test-receiver", () => "/test-receiver", "heading", "Request"],
  ["settings", () => "/settings", "heading", "Settings"],
  ["backups", () => "/backups", "table", "Backups"],
  ["audit", () => "/audit-log", "table", "Audit log"],
  ["portal-links", () => "/portal-links", "heading", "Portal links"],
  ["users", () => "/users", "heading", "Users"],
  ["no-such-page", () => "/no/such/page", "link", "To the overview"],
];

const MODES = { light: {}, dark: { scheme: "dark" }, phone: { size: PHONE } };

for (const [mode, options] of Object.entries(MODES)) {
  visit(`every screen, ${mode}`, options, async ({ page, server, t, examine, fits, shoot }) => {
    await examine("sign-in");
    await fits("sign-in");
    await shoot(`sign-in ${mode}`);
    await signIn(page);
    for (const [name, path, role, label] of SCREENS) {
      await t.test(name, async () => {
        await page.goto(`${server.url}/#${path()}`);
        await page.getByRole(role, { name: label, exact: true }).first().waitFor();
        await shoot(`${name} ${mode}`);
        await examine(name);
        await fits(name);
      });
    }
  });
}

/** Where texts have least room, and in the language that takes most of it. */
const NARROW = { "small phone": { size: SMALL_PHONE }, "small phone, Spanish": { size: SMALL_PHONE, locale: "es-ES" }, "small phone, Portuguese": { size: SMALL_PHONE, locale: "pt-BR" }, "large phone, dark": { size: LARGE_PHONE, scheme: "dark" } };

for (const [mode, options] of Object.entries(NARROW)) {
  visit(`nothing is cut or goes beyond the edge on any screen, ${mode}`, options, async ({ page, server, t, fits, reads, shoot }) => {
    await reads("sign-in");
    await page.getByRole("tab").nth(1).click();
    await page.locator("input[type=password]").fill(ADMIN_KEY);
    await page.keyboard.press("Enter");
    await page.locator("nav.bar").waitFor();
    for (const [name, path] of SCREENS) {
      await t.test(name, async () => {
        await page.goto(`${server.url}/#${path()}`);
        await page.locator("main :is(h1, h2, p a)").first().waitFor();
        // The overview never stops asking: what is shown has come when nothing says that it is still on its way.
        await page.waitForFunction(() => document.querySelector("[aria-busy=true]") === null);
        await shoot(`${name} ${mode}`);
        await fits(name);
        await reads(name);
      });
    }
    await page.locator("nav.bar button").click();
    await page.getByRole("dialog").waitFor();
    await shoot(`menu ${mode}`);
    await reads("the menu");
  });
}

async function prepare(server) {
  const shop = await receiver(() => 503);
  const schema = { type: "object", required: ["total"], properties: { total: { type: "string" } } };
  await server.api("POST", "/v1/event-types", { name: "order.paid", description: "When a customer has paid", schema, example: { total: "12.50" } });
  await server.api("POST", "/v1/event-types", { name: "customer.address.changed" });
  const tenant = await server.api("POST", "/v1/tenants", { name: "Panadería La Espiga", external_id: "espiga" });
  await server.api("POST", "/v1/api-keys", { name: "The shop's checkout", preset: "publish_only" });
  const subscription = await server.api("POST", "/v1/webhook-subscriptions", { url: `${shop.url}/a/rather/long/path/to/webhooks?of=${"x".repeat(60)}`, events: ["order.*", "customer.address.changed"], description: "Enterprise resource planning", retry_schedule: [600] });
  await server.api("POST", "/v1/webhook-subscriptions", { url: "https://test-receiver.invalid/inbox", events: ["*"] });
  await server.api("POST", "/v1/backups", {});
  const refused = shop.next();
  const event = await server.api("POST", "/v1/events", { type: "order.paid", data: { total: "12.50", note: "a text that is long enough to be cut or wrapped somewhere ".repeat(3) } });
  await refused;
  await shop.stop();
  Object.assign(ids, { tenant: tenant.data.id, subscription: subscription.data.id, event: event.data.id });
  // What is looked at has its attempt on record.
  const path = `/v1/deliveries?filter[subscription_id]=${ids.subscription}&filter[state]=retrying`;
  for (let found = []; found.length === 0; ) {
    found = (await server.api("GET", path)).data;
    ids.delivery = found[0]?.id;
  }
}
