/** Mail to the operator is set up in the settings, and a test mail says whether it works. */

import assert from "node:assert/strict";
import { createServer } from "node:net";
import { after } from "node:test";
import { signIn, stage } from "./support/stage.mjs";

const { visit } = stage({});

/** Takes what is sent in the clear, or refuses it, and keeps what it was told. */
function mailServer() {
  const kept = { said: "", isRefusing: false };
  const server = createServer((socket) => {
    let isText = false;
    socket.setEncoding("utf8");
    socket.write("220 mail.test\r\n");
    socket.on("error", () => {});
    socket.on("data", (chunk) => {
      for (const line of chunk.split("\r\n").slice(0, -1)) {
        kept.said += `${line}\n`;
        if (isText && line !== ".") continue;
        isText = line === "DATA";
        const verb = line.split(" ")[0];
        if (verb === "DATA") socket.write("354 go on\r\n");
        else if (verb === "QUIT") socket.end("221 bye\r\n");
        else if (verb === "EHLO") socket.write("250-mail.test\r\n250 AUTH PLAIN\r\n");
        else if (verb === "AUTH") socket.write(kept.isRefusing ? "535 who are you\r\n" : "235 welcome\r\n");
        else socket.write("250 fine\r\n");
      }
    });
  });
  after(() => server.close());
  return new Promise((ready) => server.listen(0, "127.0.0.1", () => ready({ kept, port: server.address().port })));
}

visit("an operator sets up mail, and sees that a test mail arrives, or why not", {}, async ({ page, server, examine, fits, shoot }) => {
  const { kept, port } = await mailServer();
  await signIn(page);
  await page.goto(`${server.url}/#/settings`);
  await page.getByRole("button", { name: "Send a test mail" }).click();
  await page.getByText("mail.host, mail.from and mail.to have to be set").waitFor();

  const edit = async (name, written) => {
    await page.getByRole("button", { name: `Edit: ${name}` }).click();
    const dialog = page.getByRole("dialog", { name });
    const field = dialog.getByLabel("Value");
    if (name === "mail.tls") await field.selectOption(written);
    else await field.fill(written);
    if (name === "mail.password") assert.equal(await field.getAttribute("type"), "password");
    if (name === "mail.to") await examine("who gets mail");
    await dialog.getByRole("button", { name: "Save" }).click();
    await dialog.waitFor({ state: "detached" });
  };
  for (const [name, written] of [
    ["mail.host", "127.0.0.1"],
    ["mail.port", String(port)],
    ["mail.tls", "none"],
    ["mail.user", "1234"],
    ["mail.password", " 5678"],
    ["mail.from", "waxwing@example.com"],
    ["mail.to", "ops@example.com\nnight@example.com"],
  ]) {
    await edit(name, written);
  }
  await page.getByText("ops@example.com, night@example.com").waitFor();
  assert.equal(await page.getByText("5678").count(), 0);

  kept.isRefusing = true;
  await page.getByRole("button", { name: "Send a test mail" }).click();
  await page.getByText("who are you").waitFor();
  await page.getByText("Not sent").waitFor();
  await examine("a test mail that was refused");
  await shoot("settings-mail-refused");
  kept.isRefusing = false;
  await page.getByRole("button", { name: "Send a test mail" }).click();
  await page.getByText("The mail server took it").waitFor();
  assert.match(kept.said, /Subject: \[Waxwing\] A test/);
  assert.match(kept.said, /RCPT TO:<night@example.com>/);
  assert.match(kept.said, new RegExp(`AUTH PLAIN ${Buffer.from("\0" + "1234" + "\0" + " 5678").toString("base64")}`));
  await examine("a test mail that went");
  await fits("the settings with mail");
  await shoot("settings-mail");
});
