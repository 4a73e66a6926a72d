/** What the page of settings says. */

import type { Schemas } from "../../api/client";
import { words } from "../../words/words.svelte";

export const settings = words({
  en: {
    elsewhere: "Set where the server is started",
    elsewhere_help: "By a flag, a variable or the file; waxwing config shows them all.",
    here: "Changed here, at once",
    logo_too_big: "The picture is larger than 64 KiB",
    name: "Setting",
    origin: "Comes from",
    preview: "As the portal shows it",
    preview_button: "New subscription",
    saved_toast: "The setting holds from now on",
    to_default: "Back to the default",
    value: "Value",
  },
  es: {
    elsewhere: "Se fijan donde se inicia el servidor",
    elsewhere_help: "Con una opción, una variable o el archivo; waxwing config los muestra todos.",
    here: "Se cambian aquí, enseguida",
    logo_too_big: "La imagen pesa más de 64 KiB",
    name: "Ajuste",
    origin: "Viene de",
    preview: "Así lo muestra el portal",
    preview_button: "Nueva suscripción",
    saved_toast: "El ajuste vale desde ahora",
    to_default: "Volver al valor inicial",
    value: "Valor",
  },
  pt: {
    elsewhere: "Definidas onde o servidor é iniciado",
    elsewhere_help: "Por uma opção, uma variável ou o arquivo; waxwing config mostra todas.",
    here: "Mudadas aqui, na hora",
    logo_too_big: "A imagem tem mais de 64 KiB",
    name: "Ajuste",
    origin: "Vem de",
    preview: "É assim que o portal mostra",
    preview_button: "Nova assinatura",
    saved_toast: "O ajuste vale a partir de agora",
    to_default: "Voltar ao valor inicial",
    value: "Valor",
  },
});

export const originName = words<Schemas["SettingAttributes"]["origin"]>({
  en: { flag: "flag", environment: "variable", file: "file", stored: "console", default: "default" },
  es: { flag: "opción", environment: "variable", file: "archivo", stored: "consola", default: "valor inicial" },
  pt: { flag: "opção", environment: "variável", file: "arquivo", stored: "console", default: "valor inicial" },
});
