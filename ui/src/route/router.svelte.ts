/** Where the reader is: the part of the address behind `#`, so that every view can be linked without the server knowing it. */

export interface Route {
  /** `/deliveries/dlv_1` */
  path: string;
  query: URLSearchParams;
}

let current = $state.raw<Route>(parse(globalThis.location?.hash ?? ""));

globalThis.addEventListener?.("hashchange", () => (current = parse(location.hash)));

export function route(): Route {
  return current;
}

/** `#/deliveries?state=held`, or nothing at all: the front page. */
export function parse(hash: string): Route {
  const [path = "", query = ""] = split(hash.replace(/^#/, ""), "?");
  return { path: path.replace(/\/+$/, "") || "/", query: new URLSearchParams(query) };
}

/** The values of `:names` in the pattern; null when the path is another. */
export function match(pattern: string, path: string): Record<string, string> | null {
  const [wanted, given] = [pattern.split("/"), path.split("/")];
  if (wanted.length !== given.length) return null;
  const values: Record<string, string> = {};
  for (const [place, part] of wanted.entries()) {
    const value = given[place] ?? "";
    if (part.startsWith(":")) {
      const decoded = decode(value);
      if (!decoded) return null;
      values[part.slice(1)] = decoded;
    } else if (part !== value) {
      return null;
    }
  }
  return values;
}

/** The address of a view. What is empty in the query is left out. Who looks at something of one tenant goes on to what is of that tenant, too. */
export function href(path: string, query: Record<string, string | null | undefined> = {}): string {
  const isOfOne = path.split("/").length > 2;
  const carried = isOfOne ? { tenant: current.query.get("tenant") } : {};
  const kept = Object.entries({ ...carried, ...query }).filter((entry): entry is [string, string] => !!entry[1]);
  const text = new URLSearchParams(kept).toString();
  return `#${path}${text && `?${text}`}`;
}

export function go(address: string): void {
  location.hash = address.replace(/^#/, "");
}

/** Another filter of the same view: the way back leads past it. */
export function replace(address: string): void {
  history.replaceState(null, "", address);
  current = parse(location.hash);
}

/** Which page of its list the address asks for, from 1. */
export function pageNumber(): number {
  return Math.max(1, Number(current.query.get("page")) || 1);
}

/** To another page of the same list, its filters kept. */
export function turnTo(page: number): void {
  replace(href(current.path, { ...Object.fromEntries(current.query), page: String(page) }));
}

function split(text: string, at: string): [string, string] {
  const place = text.indexOf(at);
  return place < 0 ? [text, ""] : [text.slice(0, place), text.slice(place + 1)];
}

/** Null when it is no percent-encoding: such an address leads nowhere. */
function decode(part: string): string | null {
  try {
    return decodeURIComponent(part);
  } catch {
    return null;
  }
}
