/** What tenants are called in lists that are about all of them. */

import { ask } from "../api/answer";
import { api } from "../api/client";
import { resource } from "../api/resource.svelte";
import { session } from "../api/session.svelte";

/** One page of them: with more, some are told by their id. */
const READ_MAX = 100;

/** For the life of a component. Asks for nothing while one tenant is looked at. */
export function tenantNames(): { of(id: string): string } {
  const read = resource((signal) => (session.isAll ? ask(api.GET("/v1/tenants", { params: { query: { "page[size]": READ_MAX } }, signal })) : null));
  const names = $derived(new Map((read.value?.data ?? []).map(({ id, attributes }) => [id, attributes.name])));
  return { of: (id) => names.get(id) ?? id };
}
