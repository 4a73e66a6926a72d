/** What is said before one is signed in. */

import { words } from "../words/words.svelte";

export const signIn = words({
  en: {
    title: "Sign in",
    key: "Instance API key",
    key_help: "It stays in this page's memory: reloading the page signs you out. The first start put one into the data folder, in the file admin-key.",
    submit: "Sign in",
    failed: "That did not let you in",
    ended: "Your session has ended. Sign in again to go on where you were.",
  },
  es: {
    title: "Iniciar sesión",
    key: "Clave de API de la instancia",
    key_help: "Se queda en la memoria de esta página: al recargarla se cierra la sesión. El primer arranque dejó una en la carpeta de datos, en el archivo admin-key.",
    submit: "Entrar",
    failed: "No se pudo entrar",
    ended: "Tu sesión terminó. Vuelve a entrar para seguir donde estabas.",
  },
  pt: {
    title: "Entrar",
    key: "Chave de API da instância",
    key_help: "Fica na memória desta página: ao recarregá-la, a sessão termina. O primeiro início deixou uma na pasta de dados, no arquivo admin-key.",
    submit: "Entrar",
    failed: "Não foi possível entrar",
    ended: "Sua sessão terminou. Entre de novo para continuar de onde estava.",
  },
});
