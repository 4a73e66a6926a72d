/** Who comes in, and how: the link of the first start, passwords, codes, invitations, and sessions that end. */

import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { ELSEWHERE, visitor } from "./support/browser.mjs";
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

visit("who is invited chooses a password, sees what their role may, and comes back by it", {}, async ({ page, server, expect, examine, shoot }) => {
  expect(/status of 409 .*\/v1\/users/);
  await signInAs(page, OWNER);
  await overview(page);
  await page.getByRole("link", { name: "Users" }).click();
  await page.getByRole("button", { name: "Invite somebody" }).click();
  const inviting = page.getByRole("dialog", { name: "Invite somebody" });
  await inviting.getByLabel("E-mail").fill(OWNER.email);
  await inviting.getByRole("button", { name: "Invite somebody" }).click();
  await inviting.getByText("Another user has this e-mail address").waitFor();
  await inviting.getByLabel("E-mail").fill("luis@example.com");
  await inviting.getByLabel("Name").fill("Luis");
  await inviting.getByLabel("Role").selectOption("viewer");
  await examine("inviting");
  await shoot("users-invite");
  await inviting.getByRole("button", { name: "Invite somebody" }).click();
  const invitation = page.getByRole("dialog", { name: "Invitation" });
  const url = await invitation.locator("code").innerText();
  await examine("the link of an invitation");
  await shoot("users-invitation");
  await invitation.getByRole("button", { name: "I have it" }).click();
  await page.getByRole("row", { name: /luis@example.com/ }).getByText("Invited").waitFor();

  const guest = await visitor(set.browser, server);
  const password = "el pájaro de cera";
  await guest.page.goto(url);
  await guest.page.getByRole("heading", { level: 1, name: "Choose a password" }).waitFor();
  await guest.examine("an invitation");
  await guest.shoot("invitation");
  await guest.page.getByLabel("New password").fill(password);
  await guest.page.getByRole("button", { name: "Go on" }).click();
  await overview(guest.page);
  await guest.page.getByRole("link", { name: "Subscriptions" }).click();
  await guest.page.getByText("No subscriptions yet").waitFor();
  assert.equal(await guest.page.getByRole("link", { name: "New subscription" }).count(), 0);
  guest.expect(/status of 403 .*\/v1\//);
  assert.equal((await asked(guest.page, "POST", "/v1/tenants", { name: "No" })).status, 403);
  await guest.page.getByRole("button", { name: "Sign out" }).click();
  await signInAs(guest.page, { email: "luis@example.com", password });
  await guest.page.getByText("No subscriptions yet").waitFor();
  await guest.leave();
  await page.reload();
  await page.getByRole("row", { name: /luis@example.com.*Viewer.*Password only/ }).waitFor();
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

visit("who sets up an authenticator app in the account is asked for its code after the password", {}, async ({ page, expect, examine, fits, shoot }) => {
  expect(/status of 40[01] .*\/v1\//);
  await signInAs(page, OWNER);
  await overview(page);
  await page.getByRole("link", { name: "Account" }).click();
  await page.getByRole("table", { name: "Where you are signed in" }).waitFor();
  await examine("the account");
  await fits("the account");
  await shoot("account");
  await page.getByRole("button", { name: "Set up a code" }).click();
  const setting = page.getByRole("dialog", { name: "Set up a code" });
  const secret = await setting.locator("code").innerText();
  await examine("setting up a code");
  await shoot("account-totp");
  await setting.getByLabel("The code that it shows").fill("000000");
  await setting.getByRole("button", { name: "Turn on" }).click();
  await setting.getByText("This must be the code that the app shows now").waitFor();
  await setting.getByLabel("The code that it shows").fill(totp(secret, Date.now()));
  await setting.getByRole("button", { name: "Turn on" }).click();
  await page.getByText("Signing in needs a code from now on").waitFor();
  await page.getByRole("button", { name: "Turn off" }).waitFor();
  await examine("the account with a second factor");
  await page.getByRole("button", { name: "Sign out", exact: false }).and(page.locator("nav button")).click();
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
  // Where they were.
  await page.getByRole("heading", { level: 1, name: "Account" }).waitFor();
});

visit("over plain http from elsewhere nobody is asked for a password, and what to do instead is said", { extraHTTPHeaders: { "x-forwarded-for": "203.0.113.9" } }, async ({ page, server, allow, expect, examine, fits, shoot }) => {
  // Of an origin that is no secure one, browsers heed no such header.
  expect(/Cross-Origin-Opener-Policy/);
  const { port } = new URL(server.url);
  const elsewhere = `http://${ELSEWHERE}:${port}`;
  allow(elsewhere);
  for (const path of ["", "/#/deliveries", "/#/setup/anything"]) {
    await page.goto("about:blank");
    await page.goto(`${elsewhere}${path}`);
    await page.getByText("This page came over plain http from another machine").waitFor();
    await page.getByText("--trusted-proxies").waitFor();
    await page.getByText(`ssh -L ${port}:127.0.0.1:${port} ${ELSEWHERE}`).waitFor();
    assert.equal(await page.locator("input, [role=tab]").count(), 0, `nothing can be typed at ${path}`);
  }
  await examine("plain http from elsewhere");
  await fits("plain http from elsewhere");
  await shoot("insecure");
});
