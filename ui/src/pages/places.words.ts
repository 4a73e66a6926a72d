/** The names of the places in the navigation. */

import { words } from "../words/words.svelte";

export const places = words({
  en: { overview: "Overview", subscriptions: "Subscriptions", deliveries: "Deliveries", events: "Events" },
  es: { overview: "Resumen", subscriptions: "Suscripciones", deliveries: "Entregas", events: "Eventos" },
  pt: { overview: "Visão geral", subscriptions: "Assinaturas", deliveries: "Entregas", events: "Eventos" },
});
