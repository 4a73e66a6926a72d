/** The names of the places in the navigation. */

import { words } from "../words/words.svelte";

export const places = words({
  en: { overview: "Overview", subscriptions: "Subscriptions", deliveries: "Deliveries", event_types: "Event types", events: "Events", keys: "API keys", receiver: "Test receiver", tenants: "Tenants" },
  es: { overview: "Resumen", subscriptions: "Suscripciones", deliveries: "Entregas", event_types: "Tipos de evento", events: "Eventos", keys: "Claves de API", receiver: "Receptor de prueba", tenants: "Inquilinos" },
  pt: { overview: "Visão geral", subscriptions: "Assinaturas", deliveries: "Entregas", event_types: "Tipos de evento", events: "Eventos", keys: "Chaves de API", receiver: "Receptor de teste", tenants: "Inquilinos" },
});
