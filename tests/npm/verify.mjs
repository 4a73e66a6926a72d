// Reads one delivery a line ({"secret", "headers", "body" in base64}) and verifies each with the published
// `standardwebhooks` package. Prints how many were valid; the first invalid one ends it.
import { createInterface } from "node:readline";
import { Webhook } from "standardwebhooks";

let verified = 0;
for await (const line of createInterface({ input: process.stdin })) {
  const { secret, headers, body } = JSON.parse(line);
  // The library parses the body as JSON after it verified it. Some bodies are JSON that JavaScript cannot hold
  // (numbers beyond a double still parse), so a failure here is a failure of the signature.
  new Webhook(secret).verify(Buffer.from(body, "base64").toString("utf8"), headers);
  verified += 1;
}
console.log(verified);
