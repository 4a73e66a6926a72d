/** The real program as a child process, and a client of its API. */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

const BINARY = process.env["WAXWING_BINARY"] ?? new URL("../../../target/debug/waxwing", import.meta.url).pathname;

/** An instance key that every started program knows. */
export const ADMIN_KEY = "test-admin-key-0123456789-0123456789";

/** Receivers on loopback by plain http, and as many requests with a key as one likes. */
const ARGUMENTS = ["--allow-http-targets", "--allow-target-range", "127.0.0.0/8", "--management-rate", "off", "--publish-rate", "off"];

const START_MILLISECONDS_MAX = 120_000;

const running = new Set();
process.on("exit", () => running.forEach((child) => child.kill("SIGKILL")));

/** Starts one in a folder of its own. `stop` ends it and removes the folder; `end` and `start` are for a server that goes away and returns. */
export async function waxwing() {
  const folder = await mkdtemp(join(tmpdir(), "waxwing-browser-"));
  const server = { folder, url: "", said: [], child: null, api, start, end, stop };
  await server.start();
  return server;

  async function start() {
    // The second time where it was the first time: the browser stands at that address.
    const listen = server.url ? new URL(server.url).host : "127.0.0.1:0";
    const child = spawn(BINARY, ["serve", "--data-dir", folder, "--listen", listen, ...ARGUMENTS], {
      cwd: folder,
      env: { ...process.env, WAXWING_ADMIN_KEY: ADMIN_KEY },
      stdio: ["ignore", "pipe", "pipe"],
    });
    running.add(child);
    server.child = child;
    const errors = createInterface({ input: child.stderr });
    errors.on("line", (line) => server.said.push(line));
    server.url = await new Promise((resolve, reject) => {
      setTimeout(() => reject(new Error(`it does not listen:\n${server.said.join("\n")}`)), START_MILLISECONDS_MAX).unref();
      child.once("error", reject);
      child.once("exit", (code) => reject(new Error(`it ended with ${code} before it listened:\n${server.said.join("\n")}`)));
      createInterface({ input: child.stdout }).on("line", (line) => {
        server.said.push(line);
        const found = /http:\/\/127\.0\.0\.1:\d+/.exec(line);
        if (found) resolve(found[0]);
      });
    });
  }

  async function end() {
    const { child } = server;
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGTERM");
    await ended;
    running.delete(child);
  }

  async function stop() {
    if (server.child.exitCode === null) await server.end();
    await rm(folder, { recursive: true });
  }

  /** Asks as the instance's owner, and expects it to work. A tenant is named by `tenant`. */
  async function api(method, path, body, { tenant, key = ADMIN_KEY } = {}) {
    const headers = { authorization: `Bearer ${key}` };
    if (tenant) headers["waxwing-tenant"] = tenant;
    if (body !== undefined) headers["content-type"] = "application/json";
    const response = await fetch(server.url + path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
    const text = await response.text();
    assert.ok(response.ok, `${method} ${path}: ${response.status} ${text}`);
    return text === "" ? null : JSON.parse(text);
  }
}
