/** A request that was sent, as a command that sends it again. */

import type { Schemas } from "../../api/client";

/** What curl writes by itself, and what would be wrong when the body is another. */
const LEFT_OUT = ["host", "content-length"];

export function curl(url: string, { headers, body }: Pick<Schemas["AttemptRequest"], "headers" | "body">): string {
  const said = headers.filter(({ name }) => !LEFT_OUT.includes(name.toLowerCase())).map(({ name, value }) => `-H ${quoted(`${name}: ${value}`)}`);
  const lines = [`curl ${quoted(url)}`, ...said];
  if (body !== null) lines.push(`--data-raw ${quoted(body)}`);
  return lines.join(" \\\n  ");
}

/** For a shell: nothing inside single quotes means anything but the quote itself. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
