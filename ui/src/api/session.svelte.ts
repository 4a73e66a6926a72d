/** Who is signed in, what they may do, and which tenant the pages are about. */

import { type Answer, type Failure, ask } from "./answer";
import { type Schemas, api, caller } from "./client";

export type Scope = Schemas["SessionAttributes"]["scopes"][number];

export interface Who {
  /** Of a person, or of a key */
  name: string;
  scopes: readonly Scope[];
  /** Null for who came by a key */
  userId: string | null;
}

/** In place of a tenant's id. */
export const ALL = "all";
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
  chosen = $state<string | typeof ALL | null>(globalThis.localStorage?.getItem(REMEMBERED_TENANT) ?? null);
  /** The tenant that this page is about, whichever was chosen: it stands in the address. */
  shown = $state<string | null>(null);
  /** Of both, what holds now. */
  about = $derived(this.shown ?? this.chosen);
  isAll = $derived(this.about === ALL);

  /** Asks whose the browser's cookie is. */
  async start(): Promise<void> {
    if (!globalThis.localStorage?.getItem(REMEMBERED_SESSION)) {
      this.state = "out";
      return;
    }
    this.state = "asking";
    const answer = await ask(api.GET("/v1/sessions/current"));
    const isAnswered = answer.ok || answer.failure.status === 401 || answer.failure.status === 404;
    this.failure = answer.ok || isAnswered ? null : answer.failure;
    if (answer.ok) this.enter(answer.value.data.attributes);
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

  enter({ name, email, scopes, user_id }: Pick<Schemas["SessionAttributes"], "name" | "email" | "scopes" | "user_id">): void {
    this.who = { name: name || email || "", scopes, userId: user_id };
    this.hasEnded = false;
    this.failure = null;
    globalThis.localStorage?.setItem(REMEMBERED_SESSION, "1");
    this.state = "in";
  }

  async signOut(): Promise<Failure | null> {
    const answer = await ask(api.DELETE("/v1/sessions/current"));
    // Who is not heard is still signed in, and should not believe otherwise.
    if (!answer.ok && answer.failure.status !== 401 && answer.failure.status !== 404) return answer.failure;
    this.leave(false);
    return null;
  }

  leave(hasEnded: boolean): void {
    this.hasEnded = hasEnded;
    this.who = null;
    globalThis.localStorage?.removeItem(REMEMBERED_SESSION);
    this.state = "out";
  }

  /** Whether controls that need this scope are shown. The server judges anyway. */
  may(scope: Scope): boolean {
    return this.who?.scopes.includes(scope) ?? false;
  }

  choose(tenant: string | null): void {
    this.chosen = tenant;
    if (tenant) globalThis.localStorage?.setItem(REMEMBERED_TENANT, tenant);
    else globalThis.localStorage?.removeItem(REMEMBERED_TENANT);
  }

  async #enterBy(asked: Promise<Answer<{ data: Schemas["Session"] }>>): Promise<Failure | null> {
    const answer = await asked;
    if (!answer.ok) return answer.failure;
    this.enter(answer.value.data.attributes);
    return null;
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
