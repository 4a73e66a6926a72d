/** Who is signed in, or has come into the portal, what they may do, and which tenant the pages are about. */

import { type Answer, type Failure, ask } from "./answer";
import { remember, remembered } from "../remembered";
import { type Schemas, api, caller } from "./client";

export type Scope = Schemas["SessionAttributes"]["scopes"][number];

export interface Who {
  /** Of a person, or of a key */
  name: string;
  scopes: readonly Scope[];
  /** Null for who came by a key */
  userId: string | null;
}

/** Whose portal it is, how it looks, and for how long. */
export interface Portal {
  tenantName: string;
  isReadOnly: boolean;
  expiresAt: string;
  brand: Schemas["PortalBrand"];
}

/** Whether the portal was asked for, which people of one tenant enter by a link; not the console. */
export const IS_PORTAL = globalThis.location?.pathname.replace(/\/+$/, "") === "/portal";

/** In place of a tenant's id. */
export const ALL = "all";
/** `default` and `system`: every instance has these tenants. */
const BUILT_IN = 2;
/** There when the browser may have a cookie, which pages cannot see. */
const REMEMBERED_SESSION = "waxwing.session";
const REMEMBERED_TENANT = "waxwing.tenant";

class Session {
  /** Whether somebody is signed in is not known before the server was asked. */
  state = $state<"asking" | "out" | "in">("asking");
  who = $state.raw<Who | null>(null);
  /** The sign-in ended by itself: it expired, or was revoked. */
  hasEnded = $state(false);
  /** Nobody could be asked. */
  failure = $state.raw<Failure | null>(null);
  /** The tenant that was chosen: its id, or all of them, or null: the default one. */
  chosen = $state<string | typeof ALL | null>(IS_PORTAL ? null : remembered(REMEMBERED_TENANT));
  /** Stays when the session is over, so that what is said then looks as before. */
  portal = $state.raw<Portal | null>(null);
  /** The tenant that this page is about, whichever was chosen: it stands in the address. */
  shown = $state<string | null>(null);
  /** Of both, what holds now. */
  about = $derived(this.shown ?? this.chosen);
  isAll = $derived(this.about === ALL);

  /** Asks whose the browser's cookie is. */
  async start(): Promise<void> {
    if (!remembered(REMEMBERED_SESSION)) {
      this.state = "out";
      return;
    }
    this.state = "asking";
    const answer = await ask(api.GET("/v1/sessions/current"));
    const isAnswered = answer.ok || answer.failure.status === 401 || answer.failure.status === 404;
    this.failure = answer.ok || isAnswered ? null : answer.failure;
    if (answer.ok) await this.#arrive(answer.value.data.attributes);
    else if (isAnswered) this.leave(false);
    else this.state = "out";
  }

  signIn(body: Schemas["CreateSession"]): Promise<Failure | null> {
    return this.#enterBy(ask(api.POST("/v1/sessions", { body })));
  }

  /** With the token of an invitation, which works once. */
  setUp(body: Schemas["FollowInvitation"]): Promise<Failure | null> {
    return this.#enterBy(ask(api.POST("/v1/setup", { body })));
  }

  /** With the token of a portal link, which works once. What lets one in from then on is kept nowhere but here. */
  async follow(token: string): Promise<void> {
    this.leave(false);
    this.failure = null;
    this.state = "asking";
    const answer = await ask(api.POST("/v1/portal-sessions", { body: { token } }));
    if (!answer.ok) {
      this.failure = answer.failure;
      this.state = "out";
      return;
    }
    const { bearer, tenant_name, scopes, read_only, expires_at, brand } = answer.value.data.attributes;
    caller.bearer = bearer;
    this.portal = { tenantName: tenant_name, isReadOnly: read_only, expiresAt: expires_at, brand };
    this.enter({ name: tenant_name, email: null, scopes, user_id: null });
  }

  enter({ name, email, scopes, user_id }: Pick<Schemas["SessionAttributes"], "name" | "email" | "scopes" | "user_id">): void {
    this.who = { name: name || email || "", scopes, userId: user_id };
    this.hasEnded = false;
    this.failure = null;
    if (!IS_PORTAL) remember(REMEMBERED_SESSION, "1");
    this.state = "in";
  }

  async signOut(): Promise<Failure | null> {
    const answer = await ask(IS_PORTAL ? api.DELETE("/v1/portal-sessions/current") : api.DELETE("/v1/sessions/current"));
    // Who is not heard is still signed in, and should not believe otherwise.
    if (!answer.ok && answer.failure.status !== 401 && answer.failure.status !== 404) return answer.failure;
    this.leave(false);
    return null;
  }

  leave(hasEnded: boolean): void {
    this.hasEnded = hasEnded;
    this.who = null;
    caller.bearer = null;
    // Who is signed in to the console in the same browser stays that.
    if (!IS_PORTAL) remember(REMEMBERED_SESSION, null);
    this.state = "out";
  }

  /** Whether controls that need this scope are shown. The server judges anyway. */
  may(scope: Scope): boolean {
    return this.who?.scopes.includes(scope) ?? false;
  }

  choose(tenant: string | null): void {
    this.chosen = tenant;
    remember(REMEMBERED_TENANT, tenant);
  }

  async #enterBy(asked: Promise<Answer<{ data: Schemas["Session"] }>>): Promise<Failure | null> {
    const answer = await asked;
    if (!answer.ok) return answer.failure;
    await this.#arrive(answer.value.data.attributes);
    return null;
  }

  /** Who never chose a tenant comes to the default one, or to all of them when there is something elsewhere only. */
  async #arrive(who: Schemas["SessionAttributes"]): Promise<void> {
    if (this.chosen === null && who.scopes.includes("tenants:read") && who.scopes.includes("subscriptions:read")) {
      const [own, tenants] = await Promise.all([
        ask(api.GET("/v1/webhook-subscriptions", { params: { query: { "page[size]": 1 } } })),
        ask(api.GET("/v1/tenants", { params: { query: { "page[size]": 1 } } })),
      ]);
      if (own.ok && own.value.meta.total === 0 && tenants.ok && tenants.value.meta.total > BUILT_IN) this.chosen = ALL;
    }
    this.enter(who);
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
  if (session.state === "in") session.leave(true);
};
