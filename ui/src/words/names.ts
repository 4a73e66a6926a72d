/** How the API's own words (states, reasons, kinds of errors) are said to people. A word that it gets is missing here until it is named. */

import type { Schemas } from "../api/client";
import type { Tone } from "../parts/Badge.svelte";
import { words } from "./words.svelte";

export type DeliveryState = Schemas["DeliveryAttributes"]["state"];
export type Reason = NonNullable<Schemas["DeliveryAttributes"]["reason"]>;
export type Health = Schemas["SubscriptionAttributes"]["health"];
export type ErrorClass = Schemas["AttemptError"]["class"];
export type Trigger = Schemas["Attempt"]["trigger"];

export const stateName = words<DeliveryState>({
  en: { pending: "Pending", retrying: "Retrying", held: "Held", succeeded: "Delivered", exhausted: "Given up", canceled: "Canceled", expired: "Expired" },
  es: { pending: "Pendiente", retrying: "Reintentando", held: "Retenida", succeeded: "Entregada", exhausted: "Abandonada", canceled: "Cancelada", expired: "Caducada" },
  pt: { pending: "Pendente", retrying: "Tentando de novo", held: "Retida", succeeded: "Entregue", exhausted: "Abandonada", canceled: "Cancelada", expired: "Expirada" },
});

export const STATES: readonly DeliveryState[] = ["pending", "retrying", "held", "succeeded", "exhausted", "canceled", "expired"];

export const stateTone: Record<DeliveryState, Tone> = {
  pending: "accent",
  retrying: "warn",
  held: "warn",
  succeeded: "good",
  exhausted: "bad",
  canceled: "quiet",
  expired: "bad",
};

export const reasonName = words<Reason>({
  en: {
    first_attempt: "The first attempt is about to be made",
    scheduled_event: "The event is to be delivered later",
    scheduled_retry: "The attempt failed; the next one follows the schedule",
    receiver_asked_to_wait: "The receiver asked to wait",
    manual_retry: "Somebody asked for another attempt",
    subscription_paused: "The subscription is paused",
    subscription_disabled: "The subscription is disabled",
    attempts_exhausted: "All attempts of the schedule failed",
    gone: "The receiver answered 410: it is gone",
    aborted_by_receiver: "The receiver asked not to be tried again",
    payload_expired: "The payload was removed before it could be delivered",
    canceled_by_user: "Somebody canceled it",
    subscription_deleted: "The subscription was deleted",
    subscription_gone: "The receiver of the subscription is gone",
    receiver_failing: "The receiver fails: it is held until a probe succeeds",
    backlog_full: "The backlog of the subscription was full",
    backlog_age: "It waited in the backlog for too long",
  },
  es: {
    first_attempt: "El primer intento está por hacerse",
    scheduled_event: "El evento se entregará más tarde",
    scheduled_retry: "El intento falló; el siguiente sigue el calendario",
    receiver_asked_to_wait: "El receptor pidió esperar",
    manual_retry: "Alguien pidió otro intento",
    subscription_paused: "La suscripción está en pausa",
    subscription_disabled: "La suscripción está desactivada",
    attempts_exhausted: "Fallaron todos los intentos del calendario",
    gone: "El receptor respondió 410: ya no existe",
    aborted_by_receiver: "El receptor pidió que no se reintente",
    payload_expired: "El contenido se eliminó antes de poder entregarse",
    canceled_by_user: "Alguien la canceló",
    subscription_deleted: "La suscripción fue eliminada",
    subscription_gone: "El receptor de la suscripción ya no existe",
    receiver_failing: "El receptor falla: se retiene hasta que una prueba funcione",
    backlog_full: "La cola de la suscripción estaba llena",
    backlog_age: "Esperó demasiado en la cola",
  },
  pt: {
    first_attempt: "A primeira tentativa está prestes a ser feita",
    scheduled_event: "O evento será entregue mais tarde",
    scheduled_retry: "A tentativa falhou; a próxima segue o cronograma",
    receiver_asked_to_wait: "O receptor pediu para esperar",
    manual_retry: "Alguém pediu outra tentativa",
    subscription_paused: "A assinatura está pausada",
    subscription_disabled: "A assinatura está desativada",
    attempts_exhausted: "Todas as tentativas do cronograma falharam",
    gone: "O receptor respondeu 410: não existe mais",
    aborted_by_receiver: "O receptor pediu para não tentar de novo",
    payload_expired: "O conteúdo foi removido antes de poder ser entregue",
    canceled_by_user: "Alguém a cancelou",
    subscription_deleted: "A assinatura foi excluída",
    subscription_gone: "O receptor da assinatura não existe mais",
    receiver_failing: "O receptor falha: fica retida até uma sonda funcionar",
    backlog_full: "A fila da assinatura estava cheia",
    backlog_age: "Esperou tempo demais na fila",
  },
});

export const healthName = words<Health>({
  en: { healthy: "Healthy", degraded: "Degraded", failing: "Failing", disabled: "Disabled" },
  es: { healthy: "Sana", degraded: "Degradada", failing: "Fallando", disabled: "Desactivada" },
  pt: { healthy: "Saudável", degraded: "Degradada", failing: "Falhando", disabled: "Desativada" },
});

export const HEALTHS: readonly Health[] = ["healthy", "degraded", "failing", "disabled"];

export const healthTone: Record<Health, Tone> = { healthy: "good", degraded: "warn", failing: "bad", disabled: "bad" };

const ERROR_CLASSES: readonly ErrorClass[] = ["blocked_address", "dns", "connect", "tls", "timeout", "http"];

export const errorName = words<ErrorClass>({
  en: { blocked_address: "The address is not allowed", dns: "The name was not found", connect: "No connection", tls: "No secure connection", timeout: "Time-out", http: "No valid answer" },
  es: { blocked_address: "La dirección no está permitida", dns: "No se encontró el nombre", connect: "Sin conexión", tls: "Sin conexión segura", timeout: "Tiempo agotado", http: "Respuesta no válida" },
  pt: { blocked_address: "O endereço não é permitido", dns: "O nome não foi encontrado", connect: "Sem conexão", tls: "Sem conexão segura", timeout: "Tempo esgotado", http: "Resposta inválida" },
});

/** Of a test delivery's `error`; null for `http_<status>`, which says no more than the status. */
export function testErrorName(error: string): string | null {
  const known = ERROR_CLASSES.find((one) => one === error);
  return known ? errorName(known) : null;
}

export const triggerName = words<Trigger>({
  en: { schedule: "By schedule", manual: "By hand", probe: "Probe" },
  es: { schedule: "Por calendario", manual: "A mano", probe: "Sonda" },
  pt: { schedule: "Pelo cronograma", manual: "À mão", probe: "Sonda" },
});
