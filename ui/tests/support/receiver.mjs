/** A receiver of webhooks, that answers as it is told and keeps what it got. */

import { once } from "node:events";
import { createServer } from "node:http";

/** `answer` is asked for each request and may be changed at any time; it says a status. */
export async function receiver(answer = () => 200) {
  const waiting = [];
  const made = { url: "", received: [], answer, next, stop };
  const server = createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const got = { path: request.url, headers: request.headers, body: Buffer.concat(chunks).toString() };
    made.received.push(got);
    response.writeHead(await made.answer(got), { "content-type": "text/plain" }).end("as it is told");
    waiting.shift()?.(got);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  made.url = `http://127.0.0.1:${server.address().port}`;
  return made;

  /** The next request that is answered from now on. */
  function next() {
    return new Promise((resolve) => waiting.push(resolve));
  }

  async function stop() {
    server.closeAllConnections();
    server.close();
    await once(server, "close");
  }
}
