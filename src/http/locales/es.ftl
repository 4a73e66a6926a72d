## The title: what the status means

title-400 = Solicitud incorrecta
title-401 = No autenticado
title-403 = Acceso denegado
title-404 = No encontrado
title-405 = Método no permitido
title-409 = Conflicto
title-410 = Ya no disponible
title-412 = Condición previa no cumplida
title-413 = Contenido demasiado grande
title-415 = Tipo de contenido no admitido
title-429 = Demasiadas solicitudes
title-500 = Error interno del servidor
title-503 = Servicio no disponible
title-507 = Almacenamiento insuficiente

## Who asks

missing-api-key = Falta el encabezado Authorization
invalid-api-key = La clave de API no es válida
invalid-authorization-format = La clave de API debe enviarse como `Authorization: Bearer <key>` o `X-API-Key: <key>`
key-expired = Esta clave de API ha caducado
key-revoked = Esta clave de API fue revocada
invalid-portal-link = Este enlace no sirve o ya no sirve: pide uno nuevo
portal-session-over = La sesión en el portal ha terminado: pide un enlace nuevo
session-expired = Esta sesión ha terminado: inicia sesión de nuevo
invalid-credentials = La dirección de correo, la contraseña o el código es incorrecto
totp-required = Se necesita el código de la aplicación de autenticación
invalid-invitation = Este enlace ya se usó, ha caducado o nunca existió: pide otro
insecure-transport = La contraseña llegaría sin cifrar: usa https o inicia sesión en la propia máquina del servidor (basta un túnel SSH)
cross-site-request = Una petición con la cookie de una sesión debe venir de la propia consola, con la cabecera Waxwing-Console
own-password-only = Nadie establece la contraseña de otro usuario: crea un enlace para el usuario
oneself-only = Solo el propio usuario puede hacer esto
email-taken = Otro usuario tiene esta dirección de correo
read-only-key = Esta clave de API es de solo lectura y no puede realizar operaciones de escritura
read-only-portal = Esta visita al portal es de solo lectura y no puede cambiar nada
missing-scope = Esta clave de API no tiene el permiso { $scope }
missing-scope-of-role = Tu rol no tiene el permiso { $scope }
missing-scope-of-portal = El portal no da el permiso { $scope }
instance-key-only = Esto afecta a toda la instancia y esta clave de API pertenece a un solo tenant
not-in-portal = Esto afecta a toda la instancia y el portal es de un solo tenant
unrestricted-key-only = Esto afecta a todo el tenant y esta clave de API está restringida a una parte de él
beyond-own-key = Una clave no puede conceder más de lo que tiene: { $what }
beyond-own-role = Un rol no puede conceder más de lo que tiene: { $what }
unknown-tenant = No se encontró el tenant '{ $name }'
setting-fixed = { $place } define '{ $name }': solo se puede cambiar ahí
system-tenant = No se puede publicar en el tenant 'system'

## What is asked for

no-such-path = No hay nada en esta ruta
not-found = No se encontró { $thing } '{ $id }'
method-not-allowed = Esta ruta no admite este método; el encabezado Allow indica cuáles admite
unsupported-media-type = El cuerpo debe enviarse como { $expected }
body-too-large = El cuerpo supera los { $bytes_max } bytes
invalid-idempotency-key = Una Idempotency-Key tiene de 1 a 200 caracteres ASCII imprimibles
idempotency-conflict = Esta Idempotency-Key ya se usó con otro cuerpo
idempotency-in-progress = Todavía hay una solicitud en curso con esta Idempotency-Key
idempotency-snapshot-unavailable = La primera respuesta a esta Idempotency-Key era demasiado grande para conservarla; la solicitud no se volvió a ejecutar

## What is there

already-exists = Ese nombre ya está en uso
tenant-id-taken = Otro tenant tiene este external_id
key-exists = Ya existe una clave con este texto
public-id-taken = Otra suscripción tiene este id
subscription-not-for-event = Una de las suscripciones indicadas se creó con una clave de API restringida que no puede recibir este evento
external-id-conflict = Ya se publicó un evento con este external_id, pero con otro tipo u otros datos
delivery-state = No se puede hacer con una entrega en estado { $state }
subscription-deleted = La suscripción de la entrega se eliminó: nadie la recibiría
job-over = La tarea ya ha terminado
permanent-tenant = Los tenants 'default' y 'system' no se pueden eliminar
no-backup-file = Esta copia de seguridad no tiene archivo: aún se está creando, o falló
restore-running = Ya se está restaurando una copia de seguridad
user-exists = Ya hay un usuario: `waxwing users reset-password EMAIL` crea un enlace para él
last-owner = El último propietario no puede irse: haz antes propietario a otro usuario
totp-exists = Ya hay una aplicación de autenticación: quítala primero
totp-missing = Ninguna aplicación de autenticación espera confirmación: añade una primero
changed = Ya no está como estaba: vuelve a leerlo e inténtalo de nuevo
event-expired = Los datos del evento se eliminaron al vencer su plazo: ya no se puede volver a enviar
precondition-failed = Se modificó después de leerlo: su ETag ya no coincide con el de If-Match
limit-exceeded = No se admiten más de { $max } { $of_what }

## How the server fares

rate-limited = Se superó el límite de solicitudes. Vuelve a intentarlo en unos instantes.
too-many-targets = Este cliente probó demasiadas direcciones, o demasiadas que no se permiten. Vuelve a intentarlo cuando lo indique Retry-After.
loop-detected = Esta solicitud es una entrega de este mismo servidor: daría vueltas en círculo
rate-window-exceeded = Se superó el límite de solicitudes ({ $bucket }). Vuelve a intentarlo cuando lo indique Retry-After.
too-many-viewers = El máximo es de { $max } conexiones simultáneas { $of_what }: cierra una y vuelve a intentarlo
too-many-listeners = El máximo es de { $max } escuchas simultáneas { $of_what }: termina una y vuelve a intentarlo
listener-taken = Otra persona ya escucha esta suscripción
storage-full = El almacenamiento está lleno: no se acepta nada nuevo hasta que se libere espacio
instance-not-empty = Esta instancia ya contiene algo: una copia de seguridad se restaura en una que no contenga nada
backup-running = Se está haciendo una copia de seguridad: solo se hace una a la vez
backups-unavailable = No se puede acceder a las copias de seguridad donde se guardan: { $why }
compaction-running = Ya hay una compactación en curso
no-room-to-compact = La copia necesita unos { $needed_bytes } bytes por encima de la reserva, y hay { $free_bytes } libres
storage-unavailable = El almacén no se puede usar en este momento; no se acepta nada hasta que vuelva a abrirse
shutting-down = El servidor se está apagando: vuelve a intentarlo
internal = Se produjo un error interno; el id de la solicitud permite encontrarlo en el registro

## Rules for what is sent

invalid-json = El cuerpo no es un JSON válido: { $why }
unknown-field = El campo '{ $name }' no existe aquí
missing-field = El campo '{ $name }' es obligatorio
invalid-type = Debe ser { $expected }
invalid-parameter = '{ $name }' debe ser { $expected }
invalid-format = Debe ser { $expected }
out-of-range = Debe estar entre { $min } y { $max }
out-of-range-in = Debe estar entre { $min } y { $max } { $unit }
too-far-ahead = No puede superar { $days_max } días a partir de ahora
empty = No puede estar vacío
too-short = Debe tener al menos { $min } caracteres
too-long = Debe tener como máximo { $max } caracteres
duplicate-item = Está repetido
too-many-items = Se admiten como máximo { $max }
batch-over-rate = Se admiten como máximo { $max }: son los eventos que se pueden publicar por segundo con estas credenciales
invalid-url = La URL no se puede usar: { $why }
url-not-https = La URL debe empezar por https://
url-blocked = Solo se permiten entregas a esta dirección si el operador del servidor la abre
url-too-long = Una URL tiene como máximo { $max } caracteres
header-malformed = El nombre de un encabezado tiene { $expected }
header-reserved = Este encabezado lo fija Waxwing o el propio HTTP: no se puede personalizar
invalid-secret = Un secreto de este perfil consta de { $expected }
overlap-not-supported = Las entregas del perfil '{ $profile }' se firman con un solo secreto: no puede haber dos vigentes a la vez
key-pair-not-supported = Las entregas del perfil '{ $profile }' no tienen lugar para la firma de un par de claves
events-empty = Se necesita al menos un tipo de evento o patrón
unknown-event-type = No existe el tipo de evento '{ $name }'
archived-event-type = El tipo de evento '{ $name }' está archivado
event-not-allowed = '{ $name }' queda fuera de lo que permite la clave de API
channel-not-allowed = Este canal no pertenece a la clave de API restringida
description-too-long = Una descripción tiene como máximo { $max } caracteres
payload-too-large = Debe tener como máximo { $max } bytes
payload-too-deep = Tiene más de { $max } niveles de anidamiento
invalid-schema = No es un JSON Schema que se pueda usar: { $why }
payload-schema-mismatch = No cumple el esquema del tipo de evento: { $detail }

## Things ($thing): they stand within the sentence

phrase-event = el evento
phrase-event-type = el tipo de evento
phrase-delivery = la entrega
phrase-subscription = la suscripción de webhook
phrase-endpoint = el endpoint de webhook
phrase-public-key = la clave pública
phrase-job = la tarea
phrase-backup = la copia de seguridad
phrase-portal-link = el enlace al portal
phrase-listener = la escucha
phrase-request = la solicitud
phrase-api-key = la clave de API
phrase-tenant = el tenant
phrase-a-user = Usuario
phrase-a-session = Sesión

## Types and formats ($expected)

phrase-a-string = una cadena de texto
phrase-a-text = un texto
phrase-a-boolean = true o false
phrase-an-integer = un número entero
phrase-an-integer-or-null = un número entero, o null si no hay límite
phrase-strings = una lista de cadenas de texto
phrase-integers = una lista de números enteros
phrase-pairs = un objeto cuyos valores sean cadenas de texto
phrase-an-object = un objeto
phrase-json = JSON
phrase-a-json-object = un objeto JSON
phrase-some-change = un objeto con al menos un campo por cambiar
phrase-events = una lista de eventos
phrase-event-count = una lista de 1 a 1000 eventos
phrase-quotas = un objeto con management y publish
phrase-a-schema-object = un objeto de JSON Schema
phrase-a-moment = una fecha y hora RFC 3339
phrase-a-moment-in-a-query = una fecha y hora RFC 3339, con el + escrito %2B
phrase-a-moment-to-come = una fecha y hora RFC 3339 futura
phrase-json-type = application/json
phrase-json-or-ndjson-type = application/json o application/x-ndjson

## Names and texts ($expected)

phrase-event-type-name = un nombre de 1 a 128 caracteres: partes de A-Z a-z 0-9 _ - separadas por un solo punto
phrase-another-name = otro nombre: este lo usan las entregas de prueba
phrase-channel = un nombre de 1 a 64 caracteres de A-Z a-z 0-9 . _ : -
phrase-external-id = un id de 1 a 128 caracteres de A-Z a-z 0-9 . _ : -
phrase-an-email = una dirección de correo
phrase-a-role = owner, operator o viewer
phrase-current-password = la contraseña actual del usuario
phrase-current-code = el código que muestra ahora la aplicación
phrase-out-with-api-key = omitido cuando se indica api_key
phrase-out-of-invitation = omitido: la invitación dice de quién es
phrase-another-external-id = otro id: default, system y tnt_… tienen otro significado
phrase-header-name = de 1 a 64 caracteres de A-Z a-z 0-9 ! # $ % & ' * + - . ^ _ ` | ~
phrase-header-prefix = un texto de 2 a 32 caracteres de A-Z a-z 0-9 -, que empiece por una letra, termine en - y no coincida con el comienzo de un encabezado de HTTP
phrase-another-header-prefix = otro prefijo: una suscripción tiene un encabezado personalizado cuyo nombre empieza por este
phrase-header-value = un texto de 1 a 1024 caracteres ASCII imprimibles, sin espacio al principio ni al final
phrase-strong-key = un texto de 24 a 256 caracteres ASCII visibles, al menos 8 de ellos distintos
phrase-marea-developer-key = un texto que empiece por mk_dev_, como corresponde a este tipo
phrase-marea-user-key = un texto que empiece por mk_user_, como corresponde a este tipo
phrase-agentmessage-key = un texto que empiece por am_live_, como corresponde a este tipo
phrase-checked-key = un texto con la suma de comprobación correcta, ya que empieza como las claves de Waxwing
phrase-unmasked-value = el propio valor: no hay ninguno guardado
phrase-standard-secret = whsec_ seguido de 24 a 64 bytes en base64
phrase-agentmessage-secret = 32 bytes en base64: 44 caracteres
phrase-mage-secret = 64 caracteres hexadecimales en minúscula
phrase-marea-endpoint-id = mk_we_ seguido de 16 dígitos hexadecimales en minúsculas
phrase-a-uuid = un UUID

## Choices ($expected)

phrase-profiles = 'standard', 'mage', 'marea' o 'agentmessage'
phrase-envelopes = 'profile' o 'raw'
phrase-signings = 'subscription' o 'tenant'
phrase-standard-versions = '2026-04-01' o '2026-11-01'
phrase-no-version = omitido: el perfil mage no tiene versiones
phrase-marea-version = '2026-05-12': el perfil marea no tiene otra
phrase-agentmessage-version = '2026-04-01': el perfil agentmessage no tiene otra
phrase-orderings = 'none' o 'fifo'
phrase-presets = full_access, read_only, publish_only o subscriber
phrase-key-kinds = native, marea_developer, marea_user o agentmessage
phrase-one-channel = exactamente un canal, el de la tienda, para el tipo marea_user
phrase-a-tenant-of-its-own = un tenant: una clave restringida pertenece a uno
phrase-healths = healthy, degraded, failing o disabled
phrase-outcomes = success o failure
phrase-resolutions = minute, hour o day
phrase-scopes-of-figures = tenant o instance
phrase-sorts = created_at o -created_at
phrase-retry-schedule = null, o una lista de 1 a 20 esperas en segundos
phrase-at-least-one-scope = una lista con al menos un permiso
phrase-a-scope = el nombre de un permiso, como events:read
phrase-left-out-beside-preset = omitido cuando se indica preset
phrase-a-subscription-that-exists = el id de una suscripción existente
phrase-a-subscription-id = el id de una suscripción
phrase-an-event-id = el id de un evento
phrase-an-event-type = un tipo de evento
phrase-an-event-type-or-pattern = un tipo de evento o un patrón
phrase-an-event-type-or-a-pattern = un tipo de evento o un patrón
phrase-a-channel = un canal
phrase-a-delivery-state = pending, retrying, held, succeeded, exhausted, canceled o expired
phrase-a-state-that-allows-it = un estado que lo permita
phrase-an-http-status = un número de 100 a 599
phrase-left-out-beside-filter = omitido cuando el filtro tiene otro campo además de state
phrase-a-narrow-filter = un filtro con otro campo además de state, salvo que 'all' sea true
phrase-an-external-id = un external_id
phrase-one-to-200-characters = un texto de 1 a 200 caracteres
phrase-behaviours = accept, fail, hang, gone o slow_down
phrase-an-openapi-document = un documento OpenAPI 3.1
phrase-some-webhook = un objeto con al menos un webhook
phrase-a-contained-schema = un esquema que solo haga referencia a #/components/schemas
phrase-days = un número de días de 1 a 36 500
phrase-backup-hours = un número de horas de 1 a 8760, u off
phrase-backups-kept = un número de 1 a 1000
phrase-mail-host = un nombre de servidor o una dirección IP
phrase-mail-port = un puerto de 1 a 65 535
phrase-mail-tls = starttls, tls o none
phrase-mail-user = un texto de 1 a 320 caracteres
phrase-mail-password = un texto de 1 a 512 bytes
phrase-mail-addresses = una lista de 1 a 20 direcciones de correo
phrase-mail-minutes = un número de minutos de 1 a 1440
phrase-a-secret-key = 64 caracteres hexadecimales
phrase-a-setup-token = lo que sigue a /#/setup/ en el enlace
phrase-a-passphrase = un texto de 12 a 1024 caracteres
phrase-a-rate = un número por segundo de 1 a 1 000 000, u off
phrase-compaction-hour = una hora del día en UTC de 0 a 23, u off
phrase-compaction-percent = un número de 1 a 99
phrase-languages = en, es o pt
phrase-a-base-url = una URL http o https sin consulta ni fragmento, de 512 caracteres como máximo
phrase-a-label = un texto de 1 a 64 caracteres, sin caracteres de control
phrase-a-colour = un color como #0a7d5a
phrase-a-picture = una URL data: en base64 de una imagen PNG, SVG o WebP de 64 KiB como máximo
phrase-origins = una lista de 20 orígenes como máximo, como https://shop.example
phrase-shorter-payloads = tal que los datos de los eventos no se conserven más tiempo que los metadatos

## Parameters ($expected)

phrase-given-once = indicado una sola vez
phrase-left-out = omitido: ese parámetro no existe aquí
phrase-left-out-beside-after = omitido cuando se indica page[after]
phrase-page-size = un número de 1 a 100
phrase-page-number = 1 o mayor
phrase-cursor-next = un cursor de links.next
phrase-cursor-prev = un cursor de links.prev
phrase-before-until = anterior a 'until'
phrase-fewer-points-for-many = más reciente, o la resolución menos detallada, para tantas suscripciones
phrase-fewer-points = más reciente: caben como máximo 1000 puntos hasta 'until'; pide un periodo más corto o una resolución menos detallada

## What is wrong with a URL ($why)

phrase-url-empty = está vacía
phrase-url-characters = no puede contener espacios, caracteres de control ni barras invertidas
phrase-url-scheme = debe empezar por https://
phrase-url-user = no puede contener un nombre de usuario ni una contraseña
phrase-url-fragment = no puede contener un fragmento (#…)
phrase-url-unreadable = no se puede interpretar como URL
phrase-host-missing = falta el host
phrase-host-dot = el host no puede terminar en punto
phrase-host-name = el nombre del host no es válido
phrase-host-characters = el host contiene un carácter que no se admite en nombres de host
phrase-host-ipv4 = la dirección IPv4 no es válida
phrase-host-ipv6 = la dirección IPv6 no es válida
phrase-port = el puerto no es un número de 1 a 65535

## What a key does not have itself ($what)

phrase-own-scopes = le faltan algunos de estos permisos
phrase-own-role = le faltan algunos permisos del rol
phrase-own-portal-expiry = caduca antes que una sesión del enlace; da menos expires_in_seconds y session_seconds
phrase-own-lasting = caduca, y un usuario no
phrase-own-events = no puede recibir algunos de estos eventos
phrase-own-channels = está limitada a otros canales
phrase-own-expiry = caduca antes
phrase-own-management-rate = su límite de llamadas es menor
phrase-own-publish-rate = su límite de publicación es menor

## Units ($unit)

phrase-seconds = segundos
phrase-a-second = por segundo
phrase-deliveries-a-second = entregas por segundo

## What listeners send

phrase-a-requests-id = el identificador de una solicitud
phrase-0-to-30 = un número de 0 a 30
phrase-a-listened-subscription = el identificador de una suscripción cuya URL empiece por https://listener.invalid/
phrase-listener-errors = dns, connect, tls, timeout o http
phrase-bytes-in-base64 = bytes en base64

## Whose viewers, and what there are too many of ($of_what)

phrase-of-one-key = por clave
phrase-of-the-instance = en toda la instancia
phrase-many-users = usuarios
phrase-many-subscriptions = suscripciones por tenant
phrase-many-jobs = tareas simultáneas por tenant
phrase-many-portal-links = enlaces al portal vigentes por tenant
phrase-many-event-deliveries = entregas por evento
phrase-many-backlog = entregas en espera por suscripción en pausa
phrase-many-test-receivers = receptores de prueba con comportamiento propio

## AgentMessage's contract

phrase-webhook-delivery = Entrega de webhook
phrase-a-next-cursor = un cursor de meta.next_cursor
phrase-attempt-outcomes = success, retry o dead
phrase-one-to-200 = de 1 a 200
phrase-at-most-the-other-status = como máximo http_status_max
phrase-fixed-at-creation = omitido: queda fijado al crearlo

## Qué se recomienda al cliente

phrase-advice-wait = Espera y vuelve a enviar la solicitud
phrase-advice-authenticate = Envía una clave de API válida como token bearer
phrase-advice-another-key = Usa una clave de API que tenga el permiso
phrase-advice-list-endpoints = Lista los endpoints de webhook
phrase-advice-delete-endpoint = Elimina un endpoint de webhook que ya no necesites
phrase-advice-correct = Corrige la solicitud y vuelve a enviarla
phrase-advice-another-idempotency-key = Envía la solicitud con otra Idempotency-Key
