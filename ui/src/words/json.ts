/** JSON as text: read and indented without going through numbers, which would lose digits, or through objects, which would lose names said twice. */

const TEXT = /"[^"\\]*(?:\\.[^"\\]*)*"/y;
const WORD = /[^\s,:[\]{}"]+/y;
const SPACE = /\s*/y;

/** What `JSON.parse` has against it; null when nothing. */
export function jsonProblem(json: string): string | null {
  try {
    JSON.parse(json);
    return null;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** Two spaces a level; what is empty stays on its line. What is no JSON comes out as it went in. */
export function pretty(json: string): string {
  if (jsonProblem(json) !== null) return json;
  let out = "";
  let depth = 0;
  let at = skip(json, 0);
  const line = () => `\n${"  ".repeat(depth)}`;
  while (at < json.length) {
    const sign = json[at] as string;
    let after = at + 1;
    if (sign === "{" || sign === "[") {
      const next = skip(json, after);
      if (json[next] === "}" || json[next] === "]") {
        out += sign + json[next];
        after = next + 1;
      } else {
        depth += 1;
        out += sign + line();
      }
    } else if (sign === "}" || sign === "]") {
      depth -= 1;
      out += line() + sign;
    } else if (sign === ",") {
      out += sign + line();
    } else if (sign === ":") {
      out += ": ";
    } else {
      after = ofToken(json, at);
      out += json.slice(at, after);
    }
    at = skip(json, after);
  }
  return out;
}

/** The text of a member, as it stands in the text around it; null when there is none. */
export function memberText(json: string, path: readonly string[]): string | null {
  let at = skip(json, 0);
  for (const wanted of path) {
    const found = memberAt(json, at, wanted);
    if (found === null) return null;
    at = found;
  }
  return json.slice(at, ofValue(json, at));
}

/** A JSON object with more members, whose texts are kept as they are. */
export function withMembers(object: Record<string, unknown>, texts: Record<string, string>): string {
  const written = Object.entries(object)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]): [string, string] => [name, JSON.stringify(value)]);
  return `{${[...written, ...Object.entries(texts)].map(([name, text]) => `${JSON.stringify(name)}:${text}`).join(",")}}`;
}

/** Where the value of a member of the object at `at` begins. */
function memberAt(json: string, at: number, wanted: string): number | null {
  if (json[at] !== "{") return null;
  at = skip(json, at + 1);
  while (json[at] === '"') {
    const end = ofToken(json, at);
    const name: unknown = JSON.parse(json.slice(at, end));
    const value = skip(json, skip(json, end) + 1);
    if (name === wanted) return value;
    at = skip(json, ofValue(json, value));
    if (json[at] !== ",") return null;
    at = skip(json, at + 1);
  }
  return null;
}

/** Behind the value that begins at `at`. */
function ofValue(json: string, at: number): number {
  let depth = 0;
  while (at < json.length) {
    const sign = json[at] as string;
    if (sign === "{" || sign === "[") depth += 1;
    else if (sign === "}" || sign === "]") depth -= 1;
    at = sign === '"' || !/[\s,:[\]{}]/.test(sign) ? ofToken(json, at) : at + 1;
    if (depth === 0) return at;
  }
  return at;
}

function ofToken(json: string, at: number): number {
  const token = json[at] === '"' ? TEXT : WORD;
  token.lastIndex = at;
  return token.test(json) ? token.lastIndex : json.length;
}

function skip(json: string, at: number): number {
  SPACE.lastIndex = at;
  SPACE.test(json);
  return SPACE.lastIndex;
}
