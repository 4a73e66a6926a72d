/** A site of somebody else: a page with a frame in it. */

import { once } from "node:events";
import { createServer } from "node:http";

/** `shows` is the address in the frame. By its name and not its number, so that to a browser it is another site than the server. */
export async function site() {
  const made = { origin: "", shows: "about:blank", stop };
  const server = createServer((_, response) => {
    const body = `<!doctype html><html lang="en"><title>Shop</title><style>iframe { width: 1100px; height: 700px }</style><iframe title="Webhooks" src="${made.shows}"></iframe>`;
    response.writeHead(200, { "content-type": "text/html" }).end(body);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  made.origin = `http://localhost:${server.address().port}`;
  return made;

  async function stop() {
    server.closeAllConnections();
    server.close();
    await once(server, "close");
  }
}
