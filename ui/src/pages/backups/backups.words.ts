/** What the page of backups says. */

import type { Schemas } from "../../api/client";
import { words } from "../../words/words.svelte";

export const backups = words({
  en: {
    create: "Back up now",
    created: "Begun",
    delete_help: "The backup is gone for good. What is in the instance stays.",
    deleted_toast: "The backup is deleted",
    download: "Download",
    empty: "There is no backup yet",
    empty_help: "One is made while everything goes on, and it counts once a store was made of it and checked.",
    encrypted: "Encrypted",
    encrypted_help: "Reading it takes its passphrase; the secret key of the instance is in it.",
    every: "A backup",
    every_hours: { one: "Every hour", other: "Every {count} hours" },
    help: "A backup holds everything that was acknowledged when it began. waxwing restore makes an instance of it.",
    keep: "Keep",
    keep_count: { one: "The newest", other: "The newest {count}" },
    keep_help: "Older ones are removed once a newer one is verified, whoever made them.",
    off: "Off",
    passphrase: "Passphrase",
    passphrase_help: "Encrypts the whole backup, and the instance’s secret key goes along. Without one the secret key is left out: keep the file secret-key elsewhere.",
    place: "Kept in",
    schedule: "Schedule",
    size: "Size",
    started_toast: "The backup has begun",
    state: "State",
  },
  es: {
    create: "Hacer una copia ahora",
    created: "Iniciada",
    delete_help: "La copia de seguridad se pierde para siempre. Lo que hay en la instancia se queda.",
    deleted_toast: "La copia de seguridad se ha eliminado",
    download: "Descargar",
    empty: "Aún no hay ninguna copia de seguridad",
    empty_help: "Se hace mientras todo sigue funcionando, y solo cuenta cuando se ha creado y comprobado un almacén a partir de ella.",
    encrypted: "Cifrada",
    encrypted_help: "Para leerla hace falta su frase de contraseña; contiene la clave secreta de la instancia.",
    every: "Una copia",
    every_hours: { one: "Cada hora", other: "Cada {count} horas" },
    help: "Una copia de seguridad contiene todo lo que estaba confirmado cuando empezó. waxwing restore crea una instancia a partir de ella.",
    keep: "Conservar",
    keep_count: { one: "La más reciente", other: "Las {count} más recientes" },
    keep_help: "Las más antiguas se eliminan cuando se ha verificado una más reciente, las haya hecho quien las haya hecho.",
    off: "Desactivada",
    passphrase: "Frase de contraseña",
    passphrase_help: "Cifra toda la copia e incluye la clave secreta de la instancia. Sin ella, la clave secreta queda fuera: guarde el archivo secret-key en otro lugar.",
    place: "Se guardan en",
    schedule: "Programación",
    size: "Tamaño",
    started_toast: "La copia de seguridad ha empezado",
    state: "Estado",
  },
  pt: {
    create: "Fazer backup agora",
    created: "Iniciado",
    delete_help: "O backup se perde para sempre. O que está na instância fica.",
    deleted_toast: "O backup foi excluído",
    download: "Baixar",
    empty: "Ainda não há nenhum backup",
    empty_help: "Ele é feito enquanto tudo continua, e só conta quando um armazenamento foi criado a partir dele e verificado.",
    encrypted: "Criptografado",
    encrypted_help: "Para ler é preciso a frase secreta dele; a chave secreta da instância está nele.",
    every: "Um backup",
    every_hours: { one: "A cada hora", other: "A cada {count} horas" },
    help: "Um backup contém tudo o que estava confirmado quando ele começou. waxwing restore cria uma instância a partir dele.",
    keep: "Manter",
    keep_count: { one: "O mais recente", other: "Os {count} mais recentes" },
    keep_help: "Os mais antigos são removidos quando um mais recente foi verificado, não importa quem os fez.",
    off: "Desativado",
    passphrase: "Frase secreta",
    passphrase_help: "Criptografa todo o backup e inclui a chave secreta da instância. Sem ela, a chave secreta fica de fora: guarde o arquivo secret-key em outro lugar.",
    place: "Guardados em",
    schedule: "Agenda",
    size: "Tamanho",
    started_toast: "O backup começou",
    state: "Estado",
  },
});

type State = Schemas["BackupAttributes"]["state"];
type Stage = NonNullable<Schemas["BackupAttributes"]["progress"]>["stage"];

export const backupState = words<State>({
  en: { running: "Running", complete: "Complete", failed: "Failed" },
  es: { running: "En curso", complete: "Completa", failed: "Fallida" },
  pt: { running: "Em andamento", complete: "Completo", failed: "Falhou" },
});

export const backupStage = words<Stage>({
  en: { copying: "Copying", reading: "Reading back", restoring: "Trying to restore", uploading: "Uploading", comparing: "Comparing" },
  es: { copying: "Copiando", reading: "Releyendo", restoring: "Probando a restaurar", uploading: "Subiendo", comparing: "Comparando" },
  pt: { copying: "Copiando", reading: "Relendo", restoring: "Testando a restauração", uploading: "Enviando", comparing: "Comparando" },
});
