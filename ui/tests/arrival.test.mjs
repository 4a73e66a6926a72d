/** Which tenant the console is about when somebody comes to it. */

import { signIn, stage } from "./support/stage.mjs";

const { visit } = stage();

visit("who comes to an empty default tenant beside others sees all of them, and later what was chosen", {}, async ({ page, server }) => {
  await server.api("POST", "/v1/tenants", { name: "Panadería La Espiga" });
  await signIn(page);
  await page.getByRole("button", { name: "All tenants" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "default" }).click();
  await page.getByRole("button", { name: /tenant: default/i }).waitFor();
  await page.reload();
  await page.getByRole("button", { name: /tenant: default/i }).waitFor();
});
