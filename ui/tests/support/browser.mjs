/** A real Chromium, and pages in it that nothing may go wrong on. */

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import axe from "axe-core";
import { chromium } from "playwright-core";

const NAMES = ["chromium", "chromium-browser", "google-chrome"];
const HOW_TO_GET_IT =
  "These tests drive a real browser, and none was found: install Chromium (`apt-get install chromium` on Debian), or name one in WAXWING_CHROMIUM.";

/** A name of this machine that a browser takes for another one. */
export const ELSEWHERE = "waxwing.test";

const FLAGS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  // What is not on this machine is not there at all.
  `--host-resolver-rules=MAP ${ELSEWHERE} 127.0.0.1 , MAP * ~NOTFOUND , EXCLUDE 127.0.0.1 , EXCLUDE localhost`,
];

/** Sizes that one looks at pages in. */
export const DESK = { width: 1280, height: 800 };
export const PHONE = { width: 390, height: 844 };
export const SMALL_PHONE = { width: 360, height: 740 };
export const LARGE_PHONE = { width: 412, height: 915 };
const PHONE_PIXELS_MAX = 500;

/** Longer than anything here takes on a busy machine, short enough that a hung test ends. */
export const PATIENCE_MILLISECONDS = 30_000;

/** What Chromium keeps for the arrow of a choice. */
const SELECT_ARROW_PIXELS = 16;
/** Findings of axe-core that fail a test. */
const SERIOUS = ["serious", "critical"];
const SHOTS = process.env["WAXWING_SHOTS"];

/** With an empty folder for its user, which it removes. */
export async function browser() {
  const executablePath = process.env["WAXWING_CHROMIUM"] ?? NAMES.map(pathOf).find(Boolean);
  assert.ok(executablePath, HOW_TO_GET_IT);
  return chromium.launch({ executablePath, args: FLAGS });
}

function pathOf(name) {
  try {
    return execFileSync("sh", ["-c", `command -v ${name}`], { encoding: "utf8" }).trim();
  } catch {
    return null;
  }
}

/**
 * A fresh visitor's page. `visit.expect(pattern)` names a console error that the test provokes; any other, a request to another
 * host, and a breach of the page's policy fail the test in `leave`.
 */
export async function visitor(launched, server, { size = DESK, scheme = "light", locale = "en-GB", ...more } = {}) {
  const context = await launched.newContext({ viewport: size, colorScheme: scheme, locale, timezoneId: "Europe/Madrid", reducedMotion: "reduce", isMobile: size.width < PHONE_PIXELS_MAX, hasTouch: size.width < PHONE_PIXELS_MAX, ...more });
  context.setDefaultTimeout(PATIENCE_MILLISECONDS);
  const troubles = [];
  const expected = [];
  const allowed = [new URL(server.url).origin];
  const isExpected = (text) => expected.some((pattern) => pattern.test(text));
  context.on("request", (request) => {
    const { protocol, origin } = new URL(request.url());
    if (/^https?:$/.test(protocol) && !allowed.includes(origin)) troubles.push(`another host was asked: ${request.url()}`);
  });
  context.on("console", (message) => {
    const text = `${message.text()} (${message.location().url})`;
    if (["error", "warning"].includes(message.type()) && !isExpected(text)) troubles.push(`console ${message.type()}: ${text}`);
  });
  context.on("weberror", (error) => troubles.push(`uncaught: ${error.error().stack ?? error.error()}`));
  await context.exposeBinding("__breach", (_, text) => troubles.push(`policy: ${text}`));
  await context.addInitScript(() => {
    addEventListener("securitypolicyviolation", (event) => globalThis.__breach(`${event.violatedDirective} forbids ${event.blockedURI || event.sourceFile}`));
  });
  const page = await context.newPage();
  await page.goto(server.url);

  return {
    context,
    page,
    expect: (pattern) => expected.push(pattern),
    /** Names another host that the test itself asks. */
    allow: (origin) => allowed.push(origin),
    /** Has axe-core look at the page as it is. */
    async examine(name) {
      // What is being read anew is dimmed until it is there, and then for the moment that it takes to brighten.
      await page.waitForFunction(() => {
        const isOver = (animation) => animation.playState !== "running" || animation.effect?.getComputedTiming().endTime === Infinity;
        return !document.querySelector('[aria-busy="true"]') && document.getAnimations().every(isOver);
      });
      await page.evaluate(axe.source);
      // It may be read anew while axe looks. A sheet that a script makes is none that the page's policy forbids.
      await page.evaluate(() => {
        globalThis.undimmed = new CSSStyleSheet();
        globalThis.undimmed.replaceSync(".busy { opacity: 1 !important; transition: none !important }");
        document.adoptedStyleSheets = [...document.adoptedStyleSheets, globalThis.undimmed];
      });
      // Rules that are no law but good practice are told too; only what is serious fails.
      const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
      await page.evaluate(() => { document.adoptedStyleSheets = document.adoptedStyleSheets.filter((sheet) => sheet !== globalThis.undimmed); });
      const serious = violations.filter(({ impact }) => SERIOUS.includes(impact));
      const told = serious.map(({ id, help, nodes }) => `${id}: ${help}\n${nodes.map((node) => `  ${node.target.join(" ")}\n    ${node.any.concat(node.all, node.none).map((check) => check.message).join("; ")}`).join("\n")}`);
      if (serious.length > 0) assert.fail(`axe-core on ${name}:\n${told.join("\n")}`);
    },
    /** A picture of the whole page, when somebody wants to look at them. */
    async shoot(name) {
      if (!SHOTS) return;
      mkdirSync(SHOTS, { recursive: true });
      await page.screenshot({ path: join(SHOTS, `${name}.png`), fullPage: true, animations: "disabled" });
    },
    /** Fails when the page is wider than its window: on a phone, nothing scrolls sideways. */
    async fits(name) {
      const content = await page.evaluate(() => document.documentElement.scrollWidth);
      // Not what the page says: a phone shows a page that is too wide in small, and its window is then as wide.
      assert.ok(content <= size.width, `${name} is ${content} pixels wide in a window of ${size.width}`);
    },
    /** Fails when the text of something that is pressed or chosen does not fit into it. What somebody else named may be cut. */
    async reads(name) {
      const cut = await page.evaluate((ARROW_PIXELS) => {
        const canvas = document.createElement("canvas").getContext("2d");
        const found = [];
        for (const control of document.querySelectorAll("button, a.button, nav a, [role=tab], label, legend, summary, select")) {
          if (!control.checkVisibility() || control.closest(".unseen, [data-theirs]")) continue;
          for (const part of [control, ...control.querySelectorAll("*")]) {
            if (part.matches("input, textarea, select, option, svg, svg *, .unseen") || part.closest("[data-theirs]")) continue;
            if (getComputedStyle(part).display !== "inline" && part.scrollWidth > part.clientWidth + 1) found.push(`"${part.textContent.trim()}" takes ${part.scrollWidth} pixels of ${part.clientWidth}`);
          }
          if (!control.matches("select")) continue;
          const style = getComputedStyle(control);
          canvas.font = style.font;
          const text = control.selectedOptions[0]?.label ?? "";
          const room = control.clientWidth - Number.parseFloat(style.paddingLeft) - Number.parseFloat(style.paddingRight) - ARROW_PIXELS;
          if (canvas.measureText(text).width > room) found.push(`the choice "${text}" takes ${canvas.measureText(text).width} pixels of ${room}`);
        }
        return [...new Set(found)];
      }, SELECT_ARROW_PIXELS);
      assert.deepEqual(cut, [], `what is cut on ${name}`);
    },
    async leave() {
      await context.close();
      if (troubles.length > 0) assert.fail(troubles.join("\n"));
    },
  };
}
