/** The names of the places in the navigation. */

import { words } from "../words/words.svelte";

export const places = words({
  en: { overview: "Overview", subscriptions: "Subscriptions", deliveries: "Deliveries", event_types: "Event types", events: "Events", audit: "Audit log", keys: "API keys", portal_links: "Portal links", settings: "Settings", receiver: "Test receiver", tenants: "Tenants" },
  es: { overview: "Resumen", subscriptions: "Suscripciones", deliveries: "Entregas", event_types: "Tipos de evento", events: "Eventos", audit: "Registro de auditoría", keys: "Claves de API", portal_links: "Enlaces al portal", settings: "Ajustes", receiver: "Receptor de prueba", tenants: "Inquilinos" },
  pt: { overview: "Visão geral", subscriptions: "Assinaturas", deliveries: "Entregas", event_types: "Tipos de evento", events: "Eventos", audit: "Registro de auditoria", keys: "Chaves de API", portal_links: "Links do portal", settings: "Ajustes", receiver: "Receptor de teste", tenants: "Inquilinos" },
});
