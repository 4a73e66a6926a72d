// Verifies deliveries of Waxwing's profile `mage`. Node.js 18 or newer, no packages.
import { createHmac, timingSafeEqual } from "node:crypto";

const TOLERANCE_SECONDS = 300;

/**
 * @param {Buffer} body the bytes of the request, before any parser touched them
 * @param {Record<string, string>} headers by lower-case name, like `request.headers`
 * @param {string} secret 64 lower-case hexadecimal characters
 */
export function verify(body, headers, secret) {
  const timestamp = headers["x-webhook-timestamp"] ?? "";
  const signatures = [headers["x-webhook-signature"] ?? ""];

  const signedAt = Date.parse(timestamp) / 1000;
  if (!(Math.abs(Date.now() / 1000 - signedAt) <= TOLERANCE_SECONDS)) return false;

  const key = Buffer.from(secret);
  if (key.length === 0) throw new Error("the secret is missing or malformed");
  const mac = createHmac("sha256", key).update(`${timestamp}.`).update(body).digest("hex");
  const expected = Buffer.from(`sha256=${mac}`);
  return signatures.some((signature) => {
    const given = Buffer.from(signature);
    return given.length === expected.length && timingSafeEqual(given, expected);
  });
}
