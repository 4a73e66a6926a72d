/** Who is signed in, and which tenant the pages are about. */

import { ask, type Answer, type Failure } from "./answer";
import { api, caller } from "./client";

/** In place of a tenant's id. */
export const ALL = "all";
const REMEMBERED_TENANT = "waxwing.tenant";

class Session {
  state = $state<"out" | "in">("out");
  /** The sign-in ended by itself: it expired, or was revoked. */
  hasEnded = $state(false);
  /** The tenant that was chosen: its id, or all of them, or null: the default one. */
  chosen = $state<string | typeof ALL | null>(null);
  /** The tenant that this page is about, whichever was chosen: it stands in the address. */
  shown = $state<string | null>(null);
  /** Of both, what holds now. */
  about = $derived(this.shown ?? this.chosen);
  isAll = $derived(this.about === ALL);

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

  /** Whether controls that need this scope are shown. A key says nothing of its scopes: the server judges. */
  may(_scope: string): boolean {
    return this.state === "in";
  }

  choose(tenant: string | null): void {
    this.chosen = tenant;
    if (tenant) globalThis.localStorage?.setItem(REMEMBERED_TENANT, tenant);
    else globalThis.localStorage?.removeItem(REMEMBERED_TENANT);
  }
}

export const session = new Session();

/** Where something leads that is of this tenant: its address names it while all are looked at. */
export function ofTenant(tenant_id: string): { tenant?: string } {
  return session.isAll ? { tenant: tenant_id } : {};
}

/** Of lists that can be about all tenants. */
export function scoped(): { scope?: "instance" } {
  return session.isAll ? { scope: "instance" } : {};
}

caller.onUnauthorized = () => {
  if (session.state === "in") session.signOut(true);
};
