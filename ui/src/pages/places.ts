/** Every page: its address, and how the navigation shows it. */

import type { Component } from "svelte";
import { IS_PORTAL, type Scope, session } from "../api/session.svelte";
import type { IconName } from "../parts/Icon.svelte";
import { match } from "../route/router.svelte";
import Account from "./account/Account.svelte";
import AuditLog from "./audit/AuditLog.svelte";
import Backups from "./backups/Backups.svelte";
import Deliveries from "./deliveries/Deliveries.svelte";
import Delivery from "./deliveries/Delivery.svelte";
import EventType from "./event_types/EventType.svelte";
import EventTypeForm from "./event_types/EventTypeForm.svelte";
import EventTypes from "./event_types/EventTypes.svelte";
import ImportEventTypes from "./event_types/ImportEventTypes.svelte";
import Events from "./events/Events.svelte";
import EventView from "./events/EventView.svelte";
import SendEvent from "./events/SendEvent.svelte";
import KeyForm from "./keys/KeyForm.svelte";
import Keys from "./keys/Keys.svelte";
import Overview from "./overview/Overview.svelte";
import { places as said } from "./places.words";
import PortalLinks from "./portal_links/PortalLinks.svelte";
import TestReceiver from "./receiver/TestReceiver.svelte";
import Settings from "./settings/Settings.svelte";
import Subscription from "./subscriptions/Subscription.svelte";
import SubscriptionForm from "./subscriptions/SubscriptionForm.svelte";
import Subscriptions from "./subscriptions/Subscriptions.svelte";
import Tenant from "./tenants/Tenant.svelte";
import TenantForm from "./tenants/TenantForm.svelte";
import Tenants from "./tenants/Tenants.svelte";
import Users from "./users/Users.svelte";

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
  /** By pattern; the first that fits. With a scope: for those alone who have it */
  pages: readonly (readonly [pattern: string, page: PageComponent, needs?: Scope])[];
}

const SUBSCRIPTIONS: Place = {
  name: "subscriptions",
  path: "/subscriptions",
  icon: "subscriptions",
  letter: "s",
  isMain: true,
  pages: [
    ["/subscriptions", Subscriptions],
    ["/subscriptions/new", SubscriptionForm, "subscriptions:write"],
    ["/subscriptions/:id", Subscription],
    ["/subscriptions/:id/edit", SubscriptionForm, "subscriptions:write"],
  ],
};

const DELIVERIES: Place = {
  name: "deliveries",
  path: "/deliveries",
  icon: "deliveries",
  letter: "d",
  isMain: true,
  pages: [
    ["/deliveries", Deliveries],
    ["/deliveries/:id", Delivery],
  ],
};

const EVENTS: Place = {
  name: "events",
  path: "/events",
  icon: "events",
  letter: "e",
  isMain: true,
  pages: [
    ["/events", Events],
    ["/events/new", SendEvent, "events:write"],
    ["/events/:id", EventView],
  ],
};

const EVENT_TYPES: Place = {
  name: "event_types",
  path: "/event-types",
  icon: "event_types",
  letter: "c",
  isMain: false,
  pages: [
    ["/event-types", EventTypes],
    ["/event-types/new", EventTypeForm, "event_types:write"],
    ["/event-types/import", ImportEventTypes, "event_types:write"],
    ["/event-types/:name", EventType],
    ["/event-types/:name/edit", EventTypeForm, "event_types:write"],
  ],
};

const CONSOLE: readonly Place[] = [
  { name: "overview", path: "/", icon: "overview", letter: "o", isMain: true, pages: [["/", Overview]] },
  SUBSCRIPTIONS,
  DELIVERIES,
  EVENTS,
  EVENT_TYPES,
  { name: "receiver", path: "/test-receiver", icon: "receiver", letter: "r", isMain: false, pages: [["/test-receiver", TestReceiver]] },
  {
    name: "tenants",
    path: "/tenants",
    icon: "tenants",
    letter: "t",
    isMain: false,
    pages: [
      ["/tenants", Tenants],
      ["/tenants/new", TenantForm, "tenants:write"],
      ["/tenants/:id", Tenant],
      ["/tenants/:id/edit", TenantForm, "tenants:write"],
    ],
  },
  {
    name: "keys",
    path: "/keys",
    icon: "keys",
    letter: "k",
    isMain: false,
    pages: [
      ["/keys", Keys],
      ["/keys/new", KeyForm, "keys:write"],
    ],
  },
  { name: "portal_links", path: "/portal-links", icon: "link", letter: "p", isMain: false, pages: [["/portal-links", PortalLinks]] },
  { name: "users", path: "/users", icon: "users", letter: "u", isMain: false, pages: [["/users", Users]] },
  { name: "settings", path: "/settings", icon: "settings", letter: "i", isMain: false, pages: [["/settings", Settings]] },
  { name: "backups", path: "/backups", icon: "backups", letter: "b", isMain: false, pages: [["/backups", Backups]] },
  { name: "audit", path: "/audit-log", icon: "audit", letter: "a", isMain: false, pages: [["/audit-log", AuditLog]] },
  { name: "account", path: "/account", icon: "person", letter: "m", isMain: false, pages: [["/account", Account]] },
];

/** Under the addresses of the console, what a tenant's own people need. */
const PORTAL: readonly Place[] = [
  { ...SUBSCRIPTIONS, pages: [["/", Subscriptions], ...SUBSCRIPTIONS.pages] },
  DELIVERIES,
  EVENTS,
  {
    ...EVENT_TYPES,
    isMain: true,
    pages: [
      ["/event-types", EventTypes],
      ["/event-types/:name", EventType],
    ],
  },
];

export const PLACES = IS_PORTAL ? PORTAL : CONSOLE;
/** Where "/" leads. */
export const FRONT = PLACES[0] as Place;

/** The page at a path; null when there is none, or none for who is here. */
export function pageAt(path: string): { place: Place; page: PageComponent; values: Record<string, string> } | null {
  for (const place of PLACES) {
    for (const [pattern, page, needs] of place.pages) {
      const values = match(pattern, path);
      if (values && needs && !session.may(needs)) return null;
      if (values) return { place, page, values };
    }
  }
  return null;
}
