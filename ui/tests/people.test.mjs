/** Who comes in, and how: the link of the first start, passwords, codes, invitations, and sessions that end. */

import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { visitor } from "./support/browser.mjs";
import { stage } from "./support/stage.mjs";

const set = stage();
const { visit } = set;

const OWNER = { email: "ana@example.com", password: "a wax wing is a bird" };

async function signInAs(page, { email, password }) {
  await page.getByRole("tab", { name: "E-mail" }).click();
  await page.getByLabel("E-mail", { exact: true }).and(page.locator("input")).fill(email);
  await page.getByLabel("Password").and(page.locator("input")).fill(password);
  await page.getByRole("button", { name: "Sign in" }).click();
}

const overview = (page) => page.getByRole("heading", { level: 1, name: "Overview" }).waitFor();

/** What the page itself would ask, with its cookie. */
function asked(page, method, path, body) {
  return page.evaluate(
    async ([method, path, body]) => {
      const response = await fetch(path, { method, headers: { "content-type": "application/json", "waxwing-console": "1" }, body: body && JSON.stringify(body) });
      const text = await response.text();
      return { status: response.status, body: text === "" ? null : JSON.parse(text) };
    },
    [method, path, body],
  );
}

visit("the link of the first start makes the owner, once", {}, async ({ page, server, expect, examine, fits, shoot }) => {
  expect(/status of 4\d\d .*\/v1\/setup/);
  const link = server.said.join("\n").match(/http:\S+\/#\/setup\/\S+/)?.[0];
  assert.ok(link, `the first start prints a link:\n${server.said.join("\n")}`);
  await page.goto(link);
  await page.getByRole("heading", { level: 1, name: "Welcome to Waxwing" }).waitFor();
  await examine("the first visit");
  await fits("the first visit");
  await shoot("setup");
  await page.getByLabel("E-mail").fill(OWNER.email);
  await page.getByLabel("New password").fill(OWNER.password);
  await page.getByRole("button", { name: "Go on" }).click();
  await overview(page);
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByRole("heading", { level: 1, name: "Sign in" }).waitFor();
  await page.goto(link);
  await page.getByLabel("New password").fill("another password");
  await page.getByRole("button", { name: "Go on" }).click();
  await page.getByRole("alert").waitFor();
  await examine("a link that was used");
  await shoot("setup-used");
});

visit("a password lets in, a wrong one is told, and reloading the page keeps one in", {}, async ({ page, expect, examine, shoot }) => {
  expect(/status of 401 .*\/v1\/sessions/);
  await signInAs(page, { ...OWNER, password: "something else" });
  await page.getByRole("alert").waitFor();
  await examine("a refused password");
  await shoot("sign-in-refused");
  await signInAs(page, OWNER);
  await overview(page);
  await page.reload();
  await overview(page);
  const cookies = await page.context().cookies();
  assert.deepEqual(
    cookies.map(({ name, httpOnly, sameSite }) => ({ name, httpOnly, sameSite })),
    [{ name: "waxwing_session", httpOnly: true, sameSite: "Strict" }],
  );
});

visit("who is signed out elsewhere is told, and comes back to where they were", {}, async ({ page, server, expect }) => {
  expect(/status of 401 .*\/v1\//);
  await signInAs(page, OWNER);
  await overview(page);
  await page.goto(`${server.url}/#/deliveries`);
  await page.getByText("No deliveries yet").waitFor();
  // "Sign out everywhere", from another browser.
  const elsewhere = await visitor(set.browser, server);
  elsewhere.expect(/status of 401 .*\/v1\//);
  await signInAs(elsewhere.page, OWNER);
  await overview(elsewhere.page);
  assert.equal((await asked(elsewhere.page, "DELETE", "/v1/sessions")).status, 204);
  await elsewhere.leave();
  await page.getByLabel("Event type").fill("order.paid");
  await page.keyboard.press("Enter");
  await page.getByText("Your session has ended").waitFor();
  await signInAs(page, OWNER);
  await page.getByRole("heading", { level: 1, name: "Deliveries" }).waitFor();
});

visit("who is invited chooses a password, and sees what their role may", {}, async ({ page, server, examine, shoot }) => {
  await signInAs(page, OWNER);
  await overview(page);
  const made = await asked(page, "POST", "/v1/users", { email: "luis@example.com", name: "Luis", role: "viewer" });
  assert.equal(made.status, 201, JSON.stringify(made.body));
  const guest = await visitor(set.browser, server);
  await guest.page.goto(made.body.data.attributes.invitation_url);
  await guest.page.getByRole("heading", { level: 1, name: "Choose a password" }).waitFor();
  await guest.examine("an invitation");
  await guest.shoot("invitation");
  await guest.page.getByLabel("New password").fill("el pájaro de cera");
  await guest.page.getByRole("button", { name: "Go on" }).click();
  await overview(guest.page);
  await guest.page.goto(`${server.url}/#/subscriptions`);
  await guest.page.getByText("No subscriptions yet").waitFor();
  assert.equal(await guest.page.getByRole("link", { name: "New subscription" }).count(), 0);
  const refused = await asked(guest.page, "POST", "/v1/tenants", { name: "No" }).catch(String);
  assert.equal(refused.status, 403);
  guest.expect(/status of 403 .*\/v1\//);
  await guest.leave().catch((troubles) => assert.match(troubles.message, /^console error: .*status of 403[^\n]*$/));
  await examine("the owner's page");
  await shoot("overview-owner");
});

/** The six digits of RFC 6238 for a time, in steps of 30 seconds. */
function totp(secret, milliseconds) {
  const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
  const bits = [...secret.replace(/=+$/, "")].map((letter) => alphabet.indexOf(letter).toString(2).padStart(5, "0")).join("");
  const key = Buffer.from(bits.match(/.{8}/g).map((byte) => parseInt(byte, 2)));
  const step = Buffer.alloc(8);
  step.writeBigUInt64BE(BigInt(Math.floor(milliseconds / 30_000)));
  const mac = createHmac("sha1", key).update(step).digest();
  const number = mac.readUInt32BE(mac.at(-1) & 15) & 0x7fff_ffff;
  return String(number % 1_000_000).padStart(6, "0");
}

visit("with an authenticator app, a code is asked for after the password", {}, async ({ page, expect, examine, shoot }) => {
  expect(/status of 401 .*\/v1\/sessions/);
  await signInAs(page, OWNER);
  await overview(page);
  const me = (await asked(page, "GET", "/v1/sessions/current")).body.data.attributes.user_id;
  const { secret } = (await asked(page, "POST", `/v1/users/${me}/totp`)).body.data.attributes;
  const confirmed = await asked(page, "POST", `/v1/users/${me}/totp/confirm`, { code: totp(secret, Date.now()) });
  assert.ok(confirmed.status < 300, JSON.stringify(confirmed.body));
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByRole("heading", { level: 1, name: "Sign in" }).waitFor();
  await signInAs(page, OWNER);
  const code = page.getByLabel("Code");
  await code.waitFor();
  await examine("being asked for a code");
  await shoot("sign-in-code");
  await code.fill("000000");
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("alert").waitFor();
  // The code of the confirmation is used up; a clock may be a step ahead.
  await code.fill(totp(secret, Date.now() + 30_000));
  await page.getByRole("button", { name: "Sign in" }).click();
  await overview(page);
});
