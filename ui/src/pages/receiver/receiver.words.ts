/** What the page of the test receiver says. */

import type { Schemas } from "../../api/client";
import { words } from "../../words/words.svelte";

export const receiver = words({
  en: {
    answers: "It answers",
    body: "Body",
    empty: "Nothing came in yet",
    empty_help: "Subscribe this address, which leads nowhere but here, and send an event:",
    forget: "Forget",
    forget_help: "Its requests go for good, and it answers 200 again.",
    forgotten_toast: "The receiver is forgotten",
    headers: "Headers",
    help: "A receiver inside Waxwing: what is delivered to https://test-receiver.invalid/… stands here as it came. Choose one to make it fail.",
    no_answer: "no answer",
    receiver: "Receiver",
    request: "Request",
    signature_unknown: "Signature not known",
    signature_valid: "Signature valid",
    signature_wrong: "Signature wrong",
  },
  es: {
    answers: "Responde",
    body: "Cuerpo",
    empty: "Aún no llegó nada",
    empty_help: "Suscribe esta dirección, que solo lleva aquí, y envía un evento:",
    forget: "Olvidar",
    forget_help: "Sus solicitudes desaparecen para siempre, y vuelve a responder 200.",
    forgotten_toast: "El receptor está olvidado",
    headers: "Cabeceras",
    help: "Un receptor dentro de Waxwing: lo que se entrega a https://test-receiver.invalid/… está aquí como llegó. Elige uno para hacerlo fallar.",
    no_answer: "sin respuesta",
    receiver: "Receptor",
    request: "Solicitud",
    signature_unknown: "Firma desconocida",
    signature_valid: "Firma válida",
    signature_wrong: "Firma incorrecta",
  },
  pt: {
    answers: "Responde",
    body: "Corpo",
    empty: "Nada chegou ainda",
    empty_help: "Assine este endereço, que só leva até aqui, e envie um evento:",
    forget: "Esquecer",
    forget_help: "Suas requisições somem para sempre, e volta a responder 200.",
    forgotten_toast: "O receptor está esquecido",
    headers: "Cabeçalhos",
    help: "Um receptor dentro do Waxwing: o que é entregue a https://test-receiver.invalid/… está aqui como chegou. Escolha um para fazê-lo falhar.",
    no_answer: "sem resposta",
    receiver: "Receptor",
    request: "Requisição",
    signature_unknown: "Assinatura desconhecida",
    signature_valid: "Assinatura válida",
    signature_wrong: "Assinatura errada",
  },
});

export type Behaviour = Schemas["TestReceiverAttributes"]["behaviour"];

export const BEHAVIOURS: readonly Behaviour[] = ["accept", "fail", "hang", "slow_down", "gone"];

export const behaviourName = words<Behaviour>({
  en: { accept: "200", fail: "500", hang: "Never", slow_down: "429", gone: "410" },
  es: { accept: "200", fail: "500", hang: "Nunca", slow_down: "429", gone: "410" },
  pt: { accept: "200", fail: "500", hang: "Nunca", slow_down: "429", gone: "410" },
});

export const behaviourHelp = words<Behaviour>({
  en: {
    accept: "Everything is taken.",
    fail: "Everything fails: deliveries are tried again by their schedule.",
    hang: "It takes the request and says nothing, until the time is out.",
    slow_down: "It asks to be sent less, and says when to come again.",
    gone: "It says that it is gone for good: the subscription is disabled.",
  },
  es: {
    accept: "Se acepta todo.",
    fail: "Todo falla: las entregas se reintentan según su calendario.",
    hang: "Toma la solicitud y no dice nada, hasta que se agota el tiempo.",
    slow_down: "Pide que se le envíe menos, y dice cuándo volver.",
    gone: "Dice que ya no existe: la suscripción se desactiva.",
  },
  pt: {
    accept: "Tudo é aceito.",
    fail: "Tudo falha: as entregas são tentadas de novo pelo cronograma.",
    hang: "Recebe a requisição e não diz nada, até o tempo acabar.",
    slow_down: "Pede que se envie menos, e diz quando voltar.",
    gone: "Diz que não existe mais: a assinatura é desativada.",
  },
});
