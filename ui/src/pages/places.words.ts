/** The names of the places in the navigation. */

import { words } from "../words/words.svelte";

export const places = words({
  en: { overview: "Overview", subscriptions: "Subscriptions", deliveries: "Deliveries", event_types: "Event types", events: "Events", account: "Account", audit: "Audit log", backups: "Backups", keys: "API keys", portal_links: "Portal links", settings: "Settings", receiver: "Test receiver", tenants: "Tenants", users: "Users" },
  es: { overview: "Resumen", subscriptions: "Suscripciones", deliveries: "Entregas", event_types: "Tipos de evento", events: "Eventos", account: "Cuenta", audit: "Registro de auditoría", backups: "Copias de seguridad", keys: "Claves de API", portal_links: "Enlaces al portal", settings: "Ajustes", receiver: "Receptor de prueba", tenants: "Inquilinos", users: "Usuarios" },
  pt: { overview: "Visão geral", subscriptions: "Assinaturas", deliveries: "Entregas", event_types: "Tipos de evento", events: "Eventos", account: "Conta", audit: "Registro de auditoria", backups: "Backups", keys: "Chaves de API", portal_links: "Links do portal", settings: "Ajustes", receiver: "Receptor de teste", tenants: "Inquilinos", users: "Usuários" },
});
