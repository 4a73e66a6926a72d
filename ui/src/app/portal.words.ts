/** What is said in the portal alone. */

import { words } from "../words/words.svelte";

export const portal = words({
  en: {
    ask: "Ask for a new link where you got this one, and follow that.",
    ended: "Your session has ended",
    ended_help: "For your safety you are let in for a while only. Nothing is lost.",
    ends: "Your session ends",
    needs_link: "You need a new link",
    needs_link_help: "Each link lets you in once, and reading the page anew ends your visit.",
    not_in: "That did not let you in",
    portal: "Webhooks",
    read_only: "You can look at everything here, and change nothing.",
    refused: "This link does not work any more",
    refused_help: "It was used before, or was made too long ago.",
  },
  es: {
    ask: "Pide un enlace nuevo donde obtuviste este y síguelo.",
    ended: "Tu sesión terminó",
    ended_help: "Por tu seguridad, el acceso dura solo un tiempo. No se ha perdido nada.",
    ends: "Tu sesión termina",
    needs_link: "Necesitas un enlace nuevo",
    needs_link_help: "Cada enlace da acceso una sola vez, y volver a cargar la página termina la visita.",
    not_in: "No se pudo entrar",
    portal: "Webhooks",
    read_only: "Aquí puedes verlo todo, pero no cambiar nada.",
    refused: "Este enlace ya no funciona",
    refused_help: "Ya se usó, o se creó hace demasiado tiempo.",
  },
  pt: {
    ask: "Peça um novo link onde você obteve este e siga-o.",
    ended: "Sua sessão terminou",
    ended_help: "Para sua segurança, o acesso dura só um tempo. Nada se perdeu.",
    ends: "Sua sessão termina",
    needs_link: "Você precisa de um novo link",
    needs_link_help: "Cada link dá acesso uma única vez, e recarregar a página encerra a visita.",
    not_in: "Não foi possível entrar",
    portal: "Webhooks",
    read_only: "Aqui você pode ver tudo, mas não mudar nada.",
    refused: "Este link não funciona mais",
    refused_help: "Ele já foi usado, ou foi criado há tempo demais.",
  },
});
