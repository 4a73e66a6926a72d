/** What the page of users says. */

import type { Schemas } from "../../api/client";
import { words } from "../../words/words.svelte";

export const users = words({
  en: {
    delete_help: "They are signed out everywhere, and cannot sign in again.",
    deleted_toast: "The user is deleted",
    email: "E-mail",
    empty: "There is no user",
    empty_help: "Whoever works with this console has an account of their own.",
    invitation: "Invitation",
    invitation_once: "It is shown this once, and works once: send it to them.",
    invite: "Invite somebody",
    invited: "Invited",
    name: "Name",
    never: "Never",
    reset: "New invitation",
    reset_help: "A link by which they choose a new password; the links before it stop working.",
    role: "Role",
    saved_toast: "The user is saved",
    second: "Second factor",
    second_off: "Password only",
    second_on: "With a code",
    signed_in: "Last signed in",
  },
  es: {
    delete_help: "Sale de todas partes, y no puede volver a entrar.",
    deleted_toast: "El usuario se eliminó",
    email: "Correo",
    empty: "No hay ningún usuario",
    empty_help: "Quien trabaja con esta consola tiene su propia cuenta.",
    invitation: "Invitación",
    invitation_once: "Se muestra solo esta vez, y sirve una vez: envíasela.",
    invite: "Invitar a alguien",
    invited: "Invitado",
    name: "Nombre",
    never: "Nunca",
    reset: "Nueva invitación",
    reset_help: "Un enlace con el que elige una contraseña nueva; los anteriores dejan de servir.",
    role: "Rol",
    saved_toast: "El usuario está guardado",
    second: "Segundo factor",
    second_off: "Solo contraseña",
    second_on: "Con un código",
    signed_in: "Última entrada",
  },
  pt: {
    delete_help: "Sai de todos os lugares, e não pode entrar de novo.",
    deleted_toast: "O usuário foi excluído",
    email: "E-mail",
    empty: "Não há nenhum usuário",
    empty_help: "Quem trabalha com este console tem a sua própria conta.",
    invitation: "Convite",
    invitation_once: "É mostrado só desta vez, e vale uma vez: envie-o.",
    invite: "Convidar alguém",
    invited: "Convidado",
    name: "Nome",
    never: "Nunca",
    reset: "Novo convite",
    reset_help: "Um link com que escolhe uma senha nova; os anteriores deixam de valer.",
    role: "Papel",
    saved_toast: "O usuário está salvo",
    second: "Segundo fator",
    second_off: "Só senha",
    second_on: "Com um código",
    signed_in: "Última entrada",
  },
});

export type Role = Schemas["UserAttributes"]["role"];

export const ROLES: readonly Role[] = ["viewer", "operator", "owner"];

export const roleName = words<Role>({
  en: { owner: "Owner", operator: "Operator", viewer: "Viewer" },
  es: { owner: "Dueño", operator: "Operador", viewer: "Observador" },
  pt: { owner: "Dono", operator: "Operador", viewer: "Observador" },
});

export const roleHelp = words<Role>({
  en: { owner: "Everything, users and settings too.", operator: "Everything but users and settings.", viewer: "Sees everything but users, and changes nothing." },
  es: { owner: "Todo, también usuarios y ajustes.", operator: "Todo menos usuarios y ajustes.", viewer: "Ve todo menos usuarios, y no cambia nada." },
  pt: { owner: "Tudo, também usuários e ajustes.", operator: "Tudo menos usuários e ajustes.", viewer: "Vê tudo menos usuários, e não muda nada." },
});
