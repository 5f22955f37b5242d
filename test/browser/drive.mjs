// Drives Chromium as Go tests say: one JSON object a line on standard input, one answer a
// line on standard output. It decides nothing.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { readFileSync } from "node:fs";

const require = createRequire(process.argv[2] + "/");
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const browser = await chromium.launch({ executablePath: process.argv[3], args: ["--no-sandbox", "--lang=de-DE"] });
let context, page, errors = [];

const does = {
  // A fresh browser, as somebody has who was never here.
  async fresh({ width, height, scripts, dark, locale }) {
    if (context) await context.close();
    errors = [];
    context = await browser.newContext({ ignoreHTTPSErrors: true, locale: locale || "de-DE", viewport: { width, height },
      javaScriptEnabled: scripts, colorScheme: dark ? "dark" : "light", deviceScaleFactor: 2, isMobile: width < 600, hasTouch: width < 600 });
    context.setDefaultTimeout(8000);
    page = await context.newPage();
    page.on("pageerror", (e) => errors.push(String(e)));
    page.on("console", (m) => { if (m.type() === "error") errors.push(m.text()); });
    page.on("dialog", (d) => { errors.push("dialog: " + d.message()); d.dismiss(); });
  },
  // A device that makes and shows passkeys without asking anybody.
  async authenticator() {
    const cdp = await context.newCDPSession(page);
    await cdp.send("WebAuthn.enable");
    await cdp.send("WebAuthn.addVirtualAuthenticator", { options: { protocol: "ctap2", transport: "internal", hasResidentKey: true,
      hasUserVerification: true, isUserVerified: true, automaticPresenceSimulation: true } });
  },
  async open({ url }) { const r = await page.goto(url); return r ? r.status() : 0; },
  async fill({ at, text }) { await page.locator(at).first().fill(text); },
  async type({ at, text }) { await page.locator(at).first().pressSequentially(text); },
  async click({ at }) { await page.locator(at).first().click(); },
  async go({ at }) { await Promise.all([page.waitForNavigation(), page.locator(at).first().click()]); return page.url(); },
  async press({ text }) { await page.keyboard.press(text); },
  async attach({ at, text }) { await page.locator(at).first().setInputFiles(text); },
  async see({ at }) { await page.locator(at).first().waitFor({ state: "visible" }); },
  async exists({ at }) { await page.locator(at).first().waitFor({ state: "attached" }); },
  async wait({ url }) { await page.waitForURL(url); return page.url(); },
  async text({ at }) { return await page.locator(at).first().innerText(); },
  async value({ at }) { return await page.locator(at).first().inputValue(); },
  async count({ at }) { return await page.locator(at).count(); },
  async frame({ at, text }) {
    const handle = await page.locator(at).first().elementHandle();
    const frame = await handle.contentFrame();
    await frame.waitForLoadState();
    return await frame.locator(text).first().innerText();
  },
  // What could act in the frame of a mail. The frame has no scripts, so it is looked at from outside.
  async active() {
    const frame = await (await page.locator("iframe.mailframe").elementHandle()).contentFrame();
    return await frame.locator("script, form, input, button, object, embed, iframe, frame, base, meta[http-equiv=refresh], svg, math, [onload], [onerror], [onclick], [onmouseover], a[href^='javascript:' i], img:not([src^='data:'])").count();
  },
  async url() { return page.url(); },
  async errors() { const all = errors; errors = []; return all; },
  async wide() { return await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth); },
  async small() {
    return await page.evaluate(() => [...document.querySelectorAll("a, button, input, select, textarea, summary")].filter((n) => {
      const r = n.getBoundingClientRect();
      const inText = n.matches("p a, dd a, li a:only-child, label input");
      return r.width > 1 && r.height > 1 && !inText && n.checkVisibility() && (r.height < 24 || r.width < 24);
    }).map((n) => n.outerHTML.slice(0, 120)));
  },
  async axe() {
    await page.evaluate(axe);
    const found = await page.evaluate(() => window.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"], iframes: false }));
    return found.violations.map((v) => v.id + ": " + v.help + ": " + v.nodes.map((n) => n.html.slice(0, 160)).slice(0, 3).join(" | "));
  },
  async shot({ path, full }) { await page.screenshot({ path, fullPage: full === true }); },
  async shift() { return await page.evaluate(() => performance.getEntriesByType("navigation")[0].duration); },
};

for await (const line of createInterface({ input: process.stdin })) {
  const order = JSON.parse(line);
  let answer;
  try {
    // Without scripts a question to the page itself is never answered; nobody waits for that.
    const late = new Promise((_, no) => setTimeout(() => no(new Error("no answer within 20 seconds")), 20000).unref());
    answer = { value: (await Promise.race([does[order.do](order), late])) ?? null };
  } catch (e) {
    answer = { error: String(e).slice(0, 2000), url: page ? page.url() : "" };
  }
  process.stdout.write(JSON.stringify(answer) + "\n");
}
await Promise.race([browser.close(), new Promise((done) => setTimeout(done, 5000))]);
process.exit(0);
