/** Pairs of names and values as a form has them: one a line, `name: value`. */

/** Lines without a colon are names with nothing; empty lines are nothing at all. */
export function toPairs(text: string): Record<string, string> {
  const pairs: Record<string, string> = {};
  for (const line of text.split("\n")) {
    if (line.trim() === "") continue;
    const colon = line.indexOf(":");
    const [name, value] = colon < 0 ? [line, ""] : [line.slice(0, colon), line.slice(colon + 1)];
    pairs[name.trim()] = value.trim();
  }
  return pairs;
}

export function fromPairs(pairs: Record<string, unknown>): string {
  return Object.entries(pairs)
    .map(([name, value]) => `${name}: ${String(value)}`)
    .join("\n");
}
