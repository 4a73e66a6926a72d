/** Who is signed in, and which tenant the pages are about. */

import { ask, type Answer, type Failure } from "./answer";
import { api, caller } from "./client";

const REMEMBERED_TENANT = "waxwing.tenant";

class Session {
  state = $state<"out" | "in">("out");
  /** The sign-in ended by itself: it expired, or was revoked. */
  hasEnded = $state(false);
  /** The id of the tenant that pages are about; null: the default one. */
  tenant = $state<string | null>(null);

  /** With an instance key, which this page alone remembers. */
  async signIn(key: string): Promise<Failure | null> {
    caller.bearer = key;
    caller.tenant = null;
    const answer: Answer<unknown> = await ask(api.GET("/v1/tenants", { params: { query: { "page[size]": 1 } } }));
    if (!answer.ok) {
      caller.bearer = null;
      return answer.failure;
    }
    this.choose(globalThis.localStorage?.getItem(REMEMBERED_TENANT) ?? null);
    this.hasEnded = false;
    this.state = "in";
    return null;
  }

  signOut(hasEnded = false): void {
    this.hasEnded = hasEnded;
    this.state = "out";
    caller.bearer = null;
  }

  choose(tenant: string | null): void {
    this.tenant = tenant;
    caller.tenant = tenant;
    if (tenant) globalThis.localStorage?.setItem(REMEMBERED_TENANT, tenant);
    else globalThis.localStorage?.removeItem(REMEMBERED_TENANT);
  }
}

export const session = new Session();

caller.onUnauthorized = () => {
  if (session.state === "in") session.signOut(true);
};
