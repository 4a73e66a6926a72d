/** Makes the README's picture, docs/console.png, of a real instance: `node scripts/picture.mjs` after `cargo build`. */

import { browser, visitor } from "../tests/support/browser.mjs";
import { receiver } from "../tests/support/receiver.mjs";
import { signIn } from "../tests/support/stage.mjs";
import { waxwing } from "../tests/support/waxwing.mjs";

const FILE = new URL("../../docs/console.png", import.meta.url).pathname;

const [server, launched] = await Promise.all([waxwing(), browser()]);
// A shop's receiver that is down, comes back, and tells both times what it thinks.
const answers = [503, 504];
const shop = await receiver(() => answers.shift() ?? 200);
try {
  await server.api("POST", "/v1/event-types", { name: "order.paid" });
  const subscription = await server.api("POST", "/v1/webhook-subscriptions", {
    url: `${shop.url}/webhooks/orders`,
    events: ["order.*"],
    retry_schedule: [1, 1],
  });
  const event = await server.api("POST", "/v1/events", {
    type: "order.paid",
    data: { order_id: "ord_8471", total: "129.90", currency: "EUR", customer: { name: "Ana Lucía Fernández", country: "ES" } },
  });
  const visit = await visitor(launched, server, { size: { width: 1120, height: 700 } });
  await signIn(visit.page);
  await visit.page.goto(`${server.url}/#/deliveries?subscription_id=${subscription.data.id}&event_id=${event.data.id}`);
  await visit.page.getByRole("table").getByRole("link", { name: "order.paid" }).click();
  await visit.page.getByText("Attempt 3").waitFor();
  await visit.page.getByText("Delivered").first().waitFor();
  // All three at a glance, and the first one open: why it failed.
  for (const name of ["Attempt 3", "Attempt 1"]) await visit.page.getByText(name).click();
  await visit.page.screenshot({ path: FILE, animations: "disabled" });
  await visit.leave();
} finally {
  await launched.close();
  await server.stop();
  await shop.stop();
}
