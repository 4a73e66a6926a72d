## The title: what the status means

title-400 = Requisição inválida
title-401 = Não autenticado
title-403 = Acesso negado
title-404 = Não encontrado
title-405 = Método não permitido
title-409 = Conflito
title-410 = Não está mais disponível
title-412 = Pré-condição não atendida
title-413 = Conteúdo muito grande
title-415 = Tipo de conteúdo não suportado
title-429 = Muitas requisições
title-500 = Erro interno do servidor
title-503 = Serviço indisponível
title-507 = Armazenamento insuficiente

## Who asks

missing-api-key = O cabeçalho Authorization está ausente
invalid-api-key = A chave de API não é válida
invalid-authorization-format = A chave de API deve ser enviada como `Authorization: Bearer <key>` ou `X-API-Key: <key>`
key-expired = Esta chave de API expirou
key-revoked = Esta chave de API foi revogada
invalid-portal-link = Este link não é válido ou já não vale: peça um novo
portal-session-over = A sessão no portal terminou: peça um novo link
session-expired = Esta sessão terminou: entre novamente
invalid-credentials = O endereço de e-mail, a senha ou o código está errado
totp-required = É necessário o código do aplicativo autenticador
invalid-invitation = Este link já foi usado, expirou ou nunca existiu: peça outro
insecure-transport = A senha chegaria sem criptografia: use https ou entre na própria máquina do servidor (um túnel SSH basta)
cross-site-request = Uma requisição com o cookie de uma sessão deve vir do próprio console, com o cabeçalho Waxwing-Console
own-password-only = Ninguém define a senha de outro usuário: crie um link para o usuário
oneself-only = Somente o próprio usuário pode fazer isto
email-taken = Outro usuário tem este endereço de e-mail
read-only-key = Esta chave de API é somente leitura e não pode realizar operações de escrita
read-only-portal = Esta visita ao portal é somente leitura e não pode mudar nada
missing-scope = Esta chave de API não tem a permissão { $scope }
missing-scope-of-role = Seu papel não tem a permissão { $scope }
missing-scope-of-portal = O portal não dá a permissão { $scope }
instance-key-only = Isto afeta toda a instância, e esta chave de API pertence a um único tenant
not-in-portal = Isto afeta toda a instância, e o portal é de um único tenant
unrestricted-key-only = Isto afeta todo o tenant, e esta chave de API está restrita a uma parte dele
beyond-own-key = Uma chave não pode conceder mais do que ela mesma tem: { $what }
beyond-own-role = Um papel não pode conceder mais do que ele mesmo tem: { $what }
unknown-tenant = O tenant '{ $name }' não foi encontrado
setting-fixed = { $place } define '{ $name }': só pode ser mudado ali
system-tenant = Não é possível publicar no tenant 'system'

## What is asked for

no-such-path = Não há nada neste caminho
not-found = Não foi possível encontrar { $thing } '{ $id }'
method-not-allowed = Este caminho não aceita este método; o cabeçalho Allow informa quais são aceitos
unsupported-media-type = O corpo deve ser enviado como { $expected }
body-too-large = O corpo ultrapassa { $bytes_max } bytes
invalid-idempotency-key = Uma Idempotency-Key tem de 1 a 200 caracteres ASCII imprimíveis
idempotency-conflict = Esta Idempotency-Key já foi usada com outro corpo
idempotency-in-progress = Ainda há uma requisição em andamento com esta Idempotency-Key
idempotency-snapshot-unavailable = A primeira resposta a esta Idempotency-Key era grande demais para ser guardada; a requisição não foi executada de novo

## What is there

already-exists = Esse nome já está em uso
tenant-id-taken = Outro tenant tem este external_id
key-exists = Já existe uma chave com este texto
public-id-taken = Outra assinatura tem este id
subscription-not-for-event = Uma das assinaturas indicadas foi criada com uma chave de API restrita que não pode receber este evento
external-id-conflict = Um evento com este external_id já foi publicado com outro tipo ou outros dados
delivery-state = Isto não pode ser feito com uma entrega no estado { $state }
subscription-deleted = A assinatura da entrega foi excluída: ninguém a receberia
job-over = A tarefa já terminou
permanent-tenant = Os tenants 'default' e 'system' não podem ser excluídos
no-backup-file = Este backup não tem arquivo: ainda está sendo criado, ou falhou
restore-running = Um backup já está sendo restaurado
user-exists = Já existe um usuário: `waxwing users reset-password EMAIL` cria um link para ele
last-owner = O último proprietário não pode sair: torne antes outro usuário proprietário
totp-exists = Já existe um aplicativo autenticador: remova-o primeiro
totp-missing = Nenhum aplicativo autenticador aguarda confirmação: adicione um primeiro
changed = Já não está como estava: leia de novo e tente outra vez
event-expired = Os dados do evento foram removidos ao fim do prazo: não é mais possível reenviá-lo
precondition-failed = Houve uma alteração depois da leitura: o ETag não é mais o informado em If-Match
limit-exceeded = Não são permitidos mais de { $max } { $of_what }

## How the server fares

rate-limited = O limite de requisições foi excedido. Tente novamente em instantes.
too-many-targets = Este cliente tentou endereços demais, ou muitos que não são permitidos. Tente novamente quando Retry-After indicar.
loop-detected = Esta requisição é uma entrega deste próprio servidor: ela andaria em círculos
rate-window-exceeded = O limite de requisições foi excedido ({ $bucket }). Tente novamente quando Retry-After indicar.
too-many-viewers = O máximo é de { $max } conexões simultâneas { $of_what }: feche uma e tente novamente
too-many-listeners = O máximo é de { $max } escutas simultâneas { $of_what }: encerre uma e tente novamente
listener-taken = Outra pessoa já escuta esta assinatura
storage-full = O armazenamento está cheio: nada novo será aceito até que haja espaço livre
instance-not-empty = Esta instância já contém algo: um backup é restaurado em uma que não contenha nada
backup-running = Um backup está sendo feito: só se faz um por vez
backups-unavailable = Não é possível acessar os backups onde são guardados: { $why }
compaction-running = Já há uma compactação em andamento
no-room-to-compact = A cópia precisa de cerca de { $needed_bytes } bytes acima da reserva, e há { $free_bytes } livres
storage-unavailable = O armazenamento não pode ser usado neste momento; nada é aceito até que ele seja reaberto
shutting-down = O servidor está sendo encerrado: tente novamente
internal = Ocorreu um erro interno; o id da requisição permite encontrá-lo no log

## Rules for what is sent

invalid-json = O corpo não é um JSON válido: { $why }
unknown-field = O campo '{ $name }' não existe aqui
missing-field = O campo '{ $name }' é obrigatório
invalid-type = Deve ser { $expected }
invalid-parameter = '{ $name }' deve ser { $expected }
invalid-format = Deve ser { $expected }
out-of-range = Deve estar entre { $min } e { $max }
out-of-range-in = Deve estar entre { $min } e { $max } { $unit }
too-far-ahead = Não pode ultrapassar { $days_max } dias a partir de agora
empty = Não pode estar vazio
too-short = Deve ter pelo menos { $min } caracteres
too-long = Deve ter no máximo { $max } caracteres
duplicate-item = Está repetido
too-many-items = São permitidos no máximo { $max }
batch-over-rate = São permitidos no máximo { $max }: são os eventos que se podem publicar por segundo com estas credenciais
invalid-url = A URL não pode ser usada: { $why }
url-not-https = A URL deve começar com https://
url-blocked = Entregas para este endereço só são permitidas se o operador do servidor o abrir
url-too-long = Uma URL tem no máximo { $max } caracteres
header-malformed = O nome de um cabeçalho tem { $expected }
header-reserved = Este cabeçalho é definido pelo Waxwing ou pelo próprio HTTP: não pode ser personalizado
invalid-secret = Um segredo deste perfil é composto por { $expected }
overlap-not-supported = As entregas do perfil '{ $profile }' são assinadas com um único segredo: não pode haver dois vigentes ao mesmo tempo
key-pair-not-supported = As entregas do perfil '{ $profile }' não têm lugar para a assinatura de um par de chaves
events-empty = É necessário pelo menos um tipo de evento ou padrão
unknown-event-type = O tipo de evento '{ $name }' não existe
archived-event-type = O tipo de evento '{ $name }' está arquivado
event-not-allowed = '{ $name }' está fora do que a chave de API permite
channel-not-allowed = Este canal não pertence à chave de API restrita
description-too-long = Uma descrição tem no máximo { $max } caracteres
payload-too-large = Deve ter no máximo { $max } bytes
payload-too-deep = Tem mais de { $max } níveis de aninhamento
invalid-schema = Este não é um JSON Schema que possa ser usado: { $why }
payload-schema-mismatch = Não atende ao esquema do tipo de evento: { $detail }

## Things ($thing): they stand within the sentence

phrase-event = o evento
phrase-event-type = o tipo de evento
phrase-delivery = a entrega
phrase-subscription = a assinatura de webhook
phrase-endpoint = o endpoint de webhook
phrase-public-key = a chave pública
phrase-job = a tarefa
phrase-backup = o backup
phrase-portal-link = o link do portal
phrase-listener = a escuta
phrase-request = a requisição
phrase-api-key = a chave de API
phrase-tenant = o tenant
phrase-a-user = Usuário
phrase-a-session = Sessão

## Types and formats ($expected)

phrase-a-string = uma string
phrase-a-text = um texto
phrase-a-boolean = true ou false
phrase-an-integer = um número inteiro
phrase-an-integer-or-null = um número inteiro, ou null se não houver limite
phrase-strings = uma lista de strings
phrase-integers = uma lista de números inteiros
phrase-pairs = um objeto cujos valores sejam strings
phrase-an-object = um objeto
phrase-json = JSON
phrase-a-json-object = um objeto JSON
phrase-some-change = um objeto com pelo menos um campo a alterar
phrase-events = uma lista de eventos
phrase-event-count = uma lista de 1 a 1.000 eventos
phrase-quotas = um objeto com management e publish
phrase-a-schema-object = um objeto de JSON Schema
phrase-a-moment = uma data e hora RFC 3339
phrase-a-moment-in-a-query = uma data e hora RFC 3339, com o + escrito %2B
phrase-a-moment-to-come = uma data e hora RFC 3339 futura
phrase-json-type = application/json
phrase-json-or-ndjson-type = application/json ou application/x-ndjson

## Names and texts ($expected)

phrase-event-type-name = um nome de 1 a 128 caracteres: partes de A-Z a-z 0-9 _ - separadas por um único ponto
phrase-another-name = outro nome: este é usado pelas entregas de teste
phrase-channel = um nome de 1 a 64 caracteres de A-Z a-z 0-9 . _ : -
phrase-external-id = um id de 1 a 128 caracteres de A-Z a-z 0-9 . _ : -
phrase-an-email = um endereço de e-mail
phrase-a-role = owner, operator ou viewer
phrase-current-password = a senha atual do usuário
phrase-current-code = o código que o aplicativo mostra agora
phrase-out-with-api-key = omitido quando api_key é informado
phrase-out-of-invitation = omitido: o convite diz de quem é
phrase-another-external-id = outro id: default, system e tnt_… têm outro significado
phrase-header-name = de 1 a 64 caracteres de A-Z a-z 0-9 ! # $ % & ' * + - . ^ _ ` | ~
phrase-header-prefix = um texto de 2 a 32 caracteres de A-Z a-z 0-9 -, que comece com uma letra, termine com - e não coincida com o começo de um cabeçalho do HTTP
phrase-another-header-prefix = outro prefixo: uma assinatura tem um cabeçalho personalizado cujo nome começa com este
phrase-header-value = um texto de 1 a 1.024 caracteres ASCII imprimíveis, sem espaço no início nem no fim
phrase-strong-key = um texto de 24 a 256 caracteres ASCII visíveis, pelo menos 8 deles diferentes
phrase-marea-developer-key = um texto que comece com mk_dev_, como exige este tipo
phrase-marea-user-key = um texto que comece com mk_user_, como exige este tipo
phrase-agentmessage-key = um texto que comece com am_live_, como exige este tipo
phrase-checked-key = um texto com a soma de verificação correta, já que começa como as chaves do Waxwing
phrase-unmasked-value = o próprio valor: nenhum está guardado
phrase-standard-secret = whsec_ seguido de 24 a 64 bytes em base64
phrase-agentmessage-secret = 32 bytes em base64: 44 caracteres
phrase-mage-secret = 64 caracteres hexadecimais minúsculos
phrase-marea-endpoint-id = mk_we_ seguido de 16 dígitos hexadecimais em minúsculas
phrase-a-uuid = um UUID

## Choices ($expected)

phrase-profiles = 'standard', 'mage', 'marea' ou 'agentmessage'
phrase-envelopes = 'profile' ou 'raw'
phrase-signings = 'subscription' ou 'tenant'
phrase-standard-versions = '2026-04-01' ou '2026-11-01'
phrase-no-version = omitido: o perfil mage não tem versões
phrase-marea-version = '2026-05-12': o perfil marea não tem outra
phrase-agentmessage-version = '2026-04-01': o perfil agentmessage não tem outra
phrase-orderings = 'none' ou 'fifo'
phrase-presets = full_access, read_only, publish_only ou subscriber
phrase-key-kinds = native, marea_developer, marea_user ou agentmessage
phrase-one-channel = exatamente um canal, o da loja, para o tipo marea_user
phrase-a-tenant-of-its-own = um tenant: uma chave restrita pertence a um
phrase-healths = healthy, degraded, failing ou disabled
phrase-outcomes = success ou failure
phrase-resolutions = minute, hour ou day
phrase-scopes-of-figures = tenant ou instance
phrase-sorts = created_at ou -created_at
phrase-retry-schedule = null, ou uma lista de 1 a 20 esperas em segundos
phrase-at-least-one-scope = uma lista com pelo menos uma permissão
phrase-a-scope = o nome de uma permissão, como events:read
phrase-left-out-beside-preset = omitido quando preset é informado
phrase-a-subscription-that-exists = o id de uma assinatura existente
phrase-a-subscription-id = o id de uma assinatura
phrase-an-event-id = o id de um evento
phrase-an-event-type = um tipo de evento
phrase-an-event-type-or-pattern = um tipo de evento ou um padrão
phrase-an-event-type-or-a-pattern = um tipo de evento ou um padrão
phrase-a-channel = um canal
phrase-a-delivery-state = pending, retrying, held, succeeded, exhausted, canceled ou expired
phrase-a-state-that-allows-it = um estado que permita a operação
phrase-an-http-status = um número de 100 a 599
phrase-left-out-beside-filter = omitido quando o filtro tem outro campo além de state
phrase-a-narrow-filter = um filtro com outro campo além de state, a menos que 'all' seja true
phrase-an-external-id = um external_id
phrase-one-to-200-characters = um texto de 1 a 200 caracteres
phrase-behaviours = accept, fail, hang, gone ou slow_down
phrase-an-openapi-document = um documento OpenAPI 3.1
phrase-some-webhook = um objeto com pelo menos um webhook
phrase-a-contained-schema = um esquema que só faça referência a #/components/schemas
phrase-days = um número de dias de 1 a 36.500
phrase-backup-hours = um número de horas de 1 a 8.760, ou off
phrase-backups-kept = um número de 1 a 1.000
phrase-mail-host = um nome de servidor ou um endereço IP
phrase-mail-port = uma porta de 1 a 65.535
phrase-mail-tls = starttls, tls ou none
phrase-mail-user = um texto de 1 a 320 caracteres
phrase-mail-password = um texto de 1 a 512 bytes
phrase-mail-addresses = uma lista de 1 a 20 endereços de e-mail
phrase-mail-minutes = um número de minutos de 1 a 1.440
phrase-a-secret-key = 64 caracteres hexadecimais
phrase-a-setup-token = o que vem depois de /#/setup/ no link
phrase-a-passphrase = um texto de 12 a 1.024 caracteres
phrase-a-rate = um número por segundo de 1 a 1.000.000, ou off
phrase-compaction-hour = uma hora do dia em UTC de 0 a 23, ou off
phrase-compaction-percent = um número de 1 a 99
phrase-languages = en, es ou pt
phrase-a-base-url = uma URL http ou https sem consulta nem fragmento, de no máximo 512 caracteres
phrase-a-label = um texto de 1 a 64 caracteres, sem caracteres de controle
phrase-a-colour = uma cor como #0a7d5a
phrase-a-picture = uma URL data: em base64 de uma imagem PNG, SVG ou WebP de no máximo 64 KiB
phrase-origins = uma lista de no máximo 20 origens, como https://shop.example
phrase-shorter-payloads = tal que os dados dos eventos não sejam guardados por mais tempo que os metadados

## Parameters ($expected)

phrase-given-once = informado uma única vez
phrase-left-out = omitido: esse parâmetro não existe aqui
phrase-left-out-beside-after = omitido quando page[after] é informado
phrase-page-size = um número de 1 a 100
phrase-page-number = 1 ou maior
phrase-cursor-next = um cursor de links.next
phrase-cursor-prev = um cursor de links.prev
phrase-before-until = anterior a 'until'
phrase-fewer-points-for-many = mais recente, ou a resolução menos detalhada, para tantas assinaturas
phrase-fewer-points = mais recente: cabem no máximo 1.000 pontos até 'until'; peça um período mais curto ou uma resolução menos detalhada

## What is wrong with a URL ($why)

phrase-url-empty = está vazia
phrase-url-characters = não pode conter espaços, caracteres de controle nem barras invertidas
phrase-url-scheme = deve começar com https://
phrase-url-user = não pode conter nome de usuário nem senha
phrase-url-fragment = não pode conter um fragmento (#…)
phrase-url-unreadable = não pode ser interpretada como URL
phrase-host-missing = falta o host
phrase-host-dot = o host não pode terminar com ponto
phrase-host-name = o nome do host não é válido
phrase-host-characters = o host contém um caractere que nomes de host não podem ter
phrase-host-ipv4 = o endereço IPv4 não é válido
phrase-host-ipv6 = o endereço IPv6 não é válido
phrase-port = a porta não é um número de 1 a 65535

## What a key does not have itself ($what)

phrase-own-scopes = faltam algumas destas permissões
phrase-own-role = faltam algumas permissões do papel
phrase-own-portal-expiry = expira antes de uma sessão do link; dê menos expires_in_seconds e session_seconds
phrase-own-lasting = expira, e um usuário não
phrase-own-events = ela não pode receber alguns destes eventos
phrase-own-channels = ela está limitada a outros canais
phrase-own-expiry = ela expira antes
phrase-own-management-rate = o limite de chamadas dela é menor
phrase-own-publish-rate = o limite de publicação dela é menor

## Units ($unit)

phrase-seconds = segundos
phrase-a-second = por segundo
phrase-deliveries-a-second = entregas por segundo

## What listeners send

phrase-a-requests-id = o identificador de uma requisição
phrase-0-to-30 = um número de 0 a 30
phrase-a-listened-subscription = o identificador de uma assinatura cuja URL comece com https://listener.invalid/
phrase-listener-errors = dns, connect, tls, timeout ou http
phrase-bytes-in-base64 = bytes em base64

## Whose viewers, and what there are too many of ($of_what)

phrase-of-one-key = por chave
phrase-of-the-instance = em toda a instância
phrase-many-users = usuários
phrase-many-subscriptions = assinaturas por tenant
phrase-many-jobs = tarefas simultâneas por tenant
phrase-many-portal-links = links do portal vigentes por tenant
phrase-many-event-deliveries = entregas por evento
phrase-many-backlog = entregas em espera por assinatura pausada
phrase-many-test-receivers = receptores de teste com comportamento próprio

## AgentMessage's contract

phrase-webhook-delivery = Entrega de webhook
phrase-a-next-cursor = um cursor de meta.next_cursor
phrase-attempt-outcomes = success, retry ou dead
phrase-one-to-200 = de 1 a 200
phrase-at-most-the-other-status = no máximo http_status_max
phrase-fixed-at-creation = omitido: é fixado na criação

## O que se recomenda ao cliente

phrase-advice-wait = Aguarde e envie a requisição novamente
phrase-advice-authenticate = Envie uma chave de API válida como token bearer
phrase-advice-another-key = Use uma chave de API que tenha a permissão
phrase-advice-list-endpoints = Liste os endpoints de webhook
phrase-advice-delete-endpoint = Exclua um endpoint de webhook que não seja mais necessário
phrase-advice-correct = Corrija a requisição e envie-a novamente
phrase-advice-another-idempotency-key = Envie a requisição com outra Idempotency-Key
