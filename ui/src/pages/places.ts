/** Every page: its address, and how the navigation shows it. */

import type { Component } from "svelte";
import type { IconName } from "../parts/Icon.svelte";
import { match } from "../route/router.svelte";
import Overview from "./overview/Overview.svelte";
import Deliveries from "./deliveries/Deliveries.svelte";
import Delivery from "./deliveries/Delivery.svelte";
import { places as said } from "./places.words";
import Subscription from "./subscriptions/Subscription.svelte";
import SubscriptionForm from "./subscriptions/SubscriptionForm.svelte";
import Subscriptions from "./subscriptions/Subscriptions.svelte";

/** A page gets the `:names` of its address as properties. */
type PageComponent = Component<any>;

export interface Place {
  /** As in the messages of `places.words.ts` */
  name: Parameters<typeof said>[0];
  /** Where the navigation leads */
  path: string;
  icon: IconName;
  /** After `g` */
  letter: string;
  /** Stands in the bar of a phone, where only a few have room */
  isMain: boolean;
  /** By pattern; the first that fits */
  pages: readonly (readonly [pattern: string, page: PageComponent])[];
}

export const PLACES: readonly Place[] = [
  { name: "overview", path: "/", icon: "overview", letter: "o", isMain: true, pages: [["/", Overview]] },
  {
    name: "subscriptions",
    path: "/subscriptions",
    icon: "subscriptions",
    letter: "s",
    isMain: true,
    pages: [
      ["/subscriptions", Subscriptions],
      ["/subscriptions/new", SubscriptionForm],
      ["/subscriptions/:id", Subscription],
      ["/subscriptions/:id/edit", SubscriptionForm],
    ],
  },
  {
    name: "deliveries",
    path: "/deliveries",
    icon: "deliveries",
    letter: "d",
    isMain: true,
    pages: [
      ["/deliveries", Deliveries],
      ["/deliveries/:id", Delivery],
    ],
  },
];

/** The page at a path; null when there is none. */
export function pageAt(path: string): { place: Place; page: PageComponent; values: Record<string, string> } | null {
  for (const place of PLACES) {
    for (const [pattern, page] of place.pages) {
      const values = match(pattern, path);
      if (values) return { place, page, values };
    }
  }
  return null;
}
