/** The names of the places in the navigation. */

import { words } from "../words/words.svelte";

export const places = words({
  en: { overview: "Overview", subscriptions: "Subscriptions", deliveries: "Deliveries" },
  es: { overview: "Resumen", subscriptions: "Suscripciones", deliveries: "Entregas" },
  pt: { overview: "Visão geral", subscriptions: "Assinaturas", deliveries: "Entregas" },
});
