import { expect, test, vi } from "vitest";
import { href, match, parse, replace } from "./router.svelte";

test("an address has a path and a query, and no slash at the end", () => {
  for (const [hash, path, query] of [
    ["", "/", ""],
    ["#", "/", ""],
    ["#/", "/", ""],
    ["#/deliveries", "/deliveries", ""],
    ["#/deliveries/", "/deliveries", ""],
    ["#/deliveries?state=held&x=1", "/deliveries", "state=held&x=1"],
    ["#/events/a?q=what?", "/events/a", "q=what%3F"],
  ] as const) {
    const found = parse(hash);
    expect([hash, found.path, found.query.toString()]).toEqual([hash, path, query]);
  }
});

test("a pattern fits paths of its length, and names what stands for its parameters", () => {
  for (const [pattern, path, values] of [
    ["/", "/", {}],
    ["/deliveries", "/deliveries", {}],
    ["/deliveries", "/events", null],
    ["/deliveries/:id", "/deliveries/dlv_1", { id: "dlv_1" }],
    ["/deliveries/:id", "/deliveries", null],
    ["/deliveries/:id", "/deliveries/", null],
    ["/deliveries/:id", "/deliveries/a/b", null],
    ["/event-types/:name", "/event-types/order%2Fpaid", { name: "order/paid" }],
    ["/event-types/:name", "/event-types/%E0", null],
    ["/subscriptions/:id/edit", "/subscriptions/x/edit", { id: "x" }],
  ] as const) {
    expect([pattern, path, match(pattern, path)]).toEqual([pattern, path, values]);
  }
});

test("what is empty is left out of an address", () => {
  expect(href("/deliveries", { state: "", event: null, subscription: undefined })).toBe("#/deliveries");
  expect(href("/deliveries", { state: "held", type: "a b" })).toBe("#/deliveries?state=held&type=a+b");
});

test("a view of something of one tenant leads to others of that tenant, and lists do not", () => {
  vi.stubGlobal("location", { hash: "" });
  vi.stubGlobal("history", { replaceState: (_: unknown, __: string, address: string) => (location.hash = address) });
  replace("#/deliveries/dlv_1?tenant=tn_1");
  expect(href("/events/evt_1")).toBe("#/events/evt_1?tenant=tn_1");
  expect(href("/events/evt_1", { tenant: "tn_2" })).toBe("#/events/evt_1?tenant=tn_2");
  expect(href("/events")).toBe("#/events");
});
