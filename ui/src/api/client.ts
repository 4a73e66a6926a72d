/** The API as the document of this very build describes it: every path, parameter and answer is typed from it. */

import createClient from "openapi-fetch";
import type { components, paths } from "../../generated/api";
import { patiently } from "./patience";

export type Schemas = components["schemas"];

/** Whom the requests are from, and about. */
export const caller = {
  /** A portal's bearer. Null: the browser's cookie says who it is. */
  bearer: null as string | null,
  /** The tenant of each request, by id. Null: what the caller's own is, or the default. */
  tenant: null as string | null,
  /** Of errors. */
  language: "en",
  /** Told when an answer is 401: whoever it was is signed out. */
  onUnauthorized: () => {},
};

/** What each request says besides its own. */
export function headers(method: string): Record<string, string> {
  const said: Record<string, string> = { "Accept-Language": caller.language };
  if (caller.bearer) said["Authorization"] = `Bearer ${caller.bearer}`;
  if (caller.tenant) said["Waxwing-Tenant"] = caller.tenant;
  // Another site cannot send this along with our cookie.
  if (method !== "GET" && method !== "HEAD") said["Waxwing-Console"] = "1";
  return said;
}

/** Who has a bearer is who that says: a cookie of the same browser does not come along. */
export function credentials(): RequestCredentials {
  return caller.bearer ? "omit" : "same-origin";
}

export const api = createClient<paths>({
  baseUrl: globalThis.location?.origin ?? "http://127.0.0.1:8620",
  async fetch(request) {
    for (const [name, value] of Object.entries(headers(request.method))) {
      if (!request.headers.has(name)) request.headers.set(name, value);
    }
    const response = await patiently((each) => fetch(each, { credentials: credentials() }), request);
    if (response.status === 401) caller.onUnauthorized();
    return response;
  },
});
