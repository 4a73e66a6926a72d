/** What subscriptions are called in lists of other things: their receiver's address, without the scheme. */

import { ask } from "../../api/answer";
import { api } from "../../api/client";
import { resource } from "../../api/resource.svelte";
import { scoped } from "../../api/session.svelte";

/** One page of them: with more, some are told by their id. */
const READ_MAX = 100;

export interface SubscriptionNames {
  of(id: string): string;
  /** All that are known, and the one with this id in any case */
  all(with_: string): { id: string; name: string }[];
}

/** For the life of a component. */
export function subscriptionNames(): SubscriptionNames {
  const read = resource((signal) => ask(api.GET("/v1/webhook-subscriptions", { params: { query: { ...scoped(), "page[size]": READ_MAX } }, signal })));
  const names = $derived(new Map((read.value?.data ?? []).map(({ id, attributes }) => [id, shortUrl(attributes.url)])));
  return {
    of: (id) => names.get(id) ?? id,
    all: (with_) => {
      const known = [...names].map(([id, name]) => ({ id, name }));
      return with_ && !names.has(with_) ? [...known, { id: with_, name: with_ }] : known;
    },
  };
}

export function shortUrl(url: string): string {
  return url.replace(/^https?:\/\//, "").replace(/\/$/, "");
}
