### What the API says about an error. Each message stands in every language of this folder, with the same arguments.
### Names of fields, headers and values stay as they are.

## The title: what the status means

title-400 = Bad Request
title-401 = Unauthorized
title-403 = Forbidden
title-404 = Not Found
title-405 = Method Not Allowed
title-409 = Conflict
title-410 = Gone
title-412 = Precondition Failed
title-413 = Payload Too Large
title-415 = Unsupported Media Type
title-429 = Too Many Requests
title-500 = Internal Server Error
title-503 = Service Unavailable
title-507 = Insufficient Storage

## Who asks

missing-api-key = Missing Authorization header
invalid-api-key = Invalid API key
invalid-authorization-format = The API key must come as `Authorization: Bearer <key>` or `X-API-Key: <key>`
key-expired = This API key has expired
key-revoked = This API key was revoked
invalid-portal-link = This link cannot be followed, or not any more: ask for a new one
portal-session-over = The session in the portal is over: ask for a new link
session-expired = This session is over: sign in again
invalid-credentials = The e-mail address, the password or the code is wrong
totp-required = The code of the authenticator app is needed
invalid-invitation = This link was used, is over, or never was: ask for a new one
insecure-transport = A password would come in the clear: use https, or sign in on the server's own machine (an SSH tunnel will do)
cross-site-request = A request with a session's cookie must come from the console itself, with the header Waxwing-Console
own-password-only = Nobody sets another user's password: make a link for the user instead
oneself-only = Only the user can do this
email-taken = Another user has this e-mail address
read-only-key = This API key is read-only and cannot perform write operations
read-only-portal = This visit of the portal is read-only and cannot change anything
missing-scope = This API key lacks the scope { $scope }
missing-scope-of-role = Your role lacks the scope { $scope }
missing-scope-of-portal = The portal does not give the scope { $scope }
instance-key-only = This concerns the whole instance, and this API key is bound to one tenant
not-in-portal = This concerns the whole instance, and the portal is about one tenant
unrestricted-key-only = This concerns the whole tenant, and this API key is restricted to a part of it
beyond-own-key = A key cannot give more than it has itself: { $what }
beyond-own-role = A role cannot give more than it has itself: { $what }
unknown-tenant = Tenant '{ $name }' not found
setting-fixed = { $place } sets '{ $name }': it can only be changed there
system-tenant = Nobody publishes into the tenant 'system'

## What is asked for

no-such-path = There is nothing at this path
not-found = { $thing } '{ $id }' not found
method-not-allowed = This path does not take this method; the Allow header says which
unsupported-media-type = The body must be sent as { $expected }
body-too-large = The body is larger than { $bytes_max } bytes
invalid-idempotency-key = An Idempotency-Key has 1 to 200 printable ASCII characters
idempotency-conflict = This Idempotency-Key was used with another body
idempotency-in-progress = A request with this Idempotency-Key is still running
idempotency-snapshot-unavailable = The first answer to this Idempotency-Key was too large to be kept; the request was not carried out again

## What is there

already-exists = The name is taken
tenant-id-taken = Another tenant has this external_id
key-exists = There is a key with this text already
public-id-taken = Another subscription has this id
subscription-not-for-event = A named subscription was made by a restricted API key, which may not have this event
external-id-conflict = An event with this external_id was published with another type or other data
delivery-state = This cannot be done to a delivery that is { $state }
subscription-deleted = The delivery's subscription was deleted: nobody would get it
job-over = The job has ended already
permanent-tenant = The tenants 'default' and 'system' cannot be removed
no-backup-file = This backup has no file: it is being made, or it failed
restore-running = A backup is being restored already
user-exists = There is a user already: `waxwing users reset-password EMAIL` makes a link for them
last-owner = The last owner cannot go: make another user an owner first
totp-exists = There is an authenticator app already: remove it first
totp-missing = No authenticator app waits to be confirmed: add one first
changed = It is no longer as it was: read it again, then try again
event-expired = The event's data was removed when its time was over: it cannot be sent again
precondition-failed = It was changed since it was read: its ETag is no longer the one in If-Match
limit-exceeded = No more than { $max } { $of_what } are allowed

## How the server fares

rate-limited = Rate limit exceeded. Please retry after a short delay.
too-many-targets = This tenant tried too many addresses, or too many that are not allowed. Please retry when Retry-After says.
loop-detected = This request is a delivery of this very server: it would go round in a circle
rate-window-exceeded = Rate limit exceeded ({ $bucket }). Please retry when Retry-After says.
too-many-viewers = No more than { $max } viewers of { $of_what } can watch at once: close one, then try again
too-many-listeners = No more than { $max } listeners of { $of_what } are possible at once: end one, then try again
listener-taken = Somebody else listens to this subscription
storage-full = Storage is full: nothing new is accepted until space is free
instance-not-empty = This instance holds something already: a backup is restored onto one that holds nothing
backup-running = A backup is being made: only one is at once
backups-unavailable = Backups cannot be used where they are kept: { $why }
compaction-running = A compaction is under way
no-room-to-compact = The copy needs about { $needed_bytes } bytes above the reserve, and { $free_bytes } are free
storage-unavailable = The store cannot be used at the moment, and nothing is accepted until it is open again
shutting-down = The server is shutting down: please try again
internal = Something went wrong here; the request id finds it in the log

## Rules for what is sent
## $why, $detail: where a parser or a schema stopped, in its own words

invalid-json = The body is not valid JSON: { $why }
unknown-field = There is no field '{ $name }' here
missing-field = The field '{ $name }' is required
invalid-type = This must be { $expected }
invalid-parameter = '{ $name }' must be { $expected }
invalid-format = This must be { $expected }
out-of-range = This must be { $min } to { $max }
out-of-range-in = This must be { $min } to { $max } { $unit }
too-far-ahead = This may lie at most { $days_max } days ahead
empty = This must not be empty
too-short = This must have at least { $min } characters
too-long = This must have at most { $max } characters
duplicate-item = This occurs twice
too-many-items = There may be at most { $max }
batch-over-rate = There may be at most { $max }: so many events may be published a second with these credentials
invalid-url = This is not a usable URL: { $why }
url-not-https = The URL must begin with https://
url-blocked = Deliveries to this address are allowed only where the operator of the server opens it
url-too-long = A URL has at most { $max } characters
header-malformed = The name of a header has { $expected }
header-reserved = Waxwing or HTTP itself sets this header: it cannot be a custom one
invalid-secret = A secret of this profile is { $expected }
overlap-not-supported = Deliveries of the profile '{ $profile }' carry one signature: two secrets cannot overlap
key-pair-not-supported = Deliveries of the profile '{ $profile }' have no room for the signature of a key pair
events-empty = At least one event type or pattern is needed
unknown-event-type = There is no event type '{ $name }'
archived-event-type = The event type '{ $name }' is archived
event-not-allowed = '{ $name }' is beyond what the API key is restricted to
channel-not-allowed = This is not a channel of the restricted API key
description-too-long = A description has at most { $max } characters
payload-too-large = This must have at most { $max } bytes
payload-too-deep = This nests deeper than { $max } levels
invalid-schema = This is not a JSON Schema that can be used: { $why }
payload-schema-mismatch = This does not fit the event type's schema: { $detail }

### The phrases that go into messages. The program names them by these English words, letter for letter.

## Things ($thing): they begin the sentence

phrase-event = Event
phrase-event-type = Event type
phrase-delivery = Delivery
phrase-subscription = Webhook subscription
phrase-endpoint = Webhook endpoint
phrase-public-key = Public key
phrase-job = Job
phrase-backup = Backup
phrase-portal-link = Portal link
phrase-listener = Listener
phrase-request = Request
phrase-api-key = API key
phrase-tenant = Tenant
phrase-a-user = User
phrase-a-session = Session

## Types and formats ($expected)

phrase-a-string = a string
phrase-a-text = a text
phrase-a-boolean = true or false
phrase-an-integer = an integer
phrase-an-integer-or-null = an integer, or null for no limit
phrase-strings = an array of strings
phrase-integers = an array of integers
phrase-pairs = an object of strings
phrase-an-object = an object
phrase-json = JSON
phrase-a-json-object = a JSON object
phrase-some-change = an object with at least one field to change
phrase-events = an array of events
phrase-event-count = 1 to 1,000 events
phrase-quotas = an object with management and publish
phrase-a-schema-object = a JSON Schema object
phrase-a-moment = an RFC 3339 date and time
phrase-a-moment-in-a-query = an RFC 3339 date and time, its + written %2B
phrase-a-moment-to-come = an RFC 3339 date and time to come
phrase-json-type = application/json
phrase-json-or-ndjson-type = application/json or application/x-ndjson

## Names and texts ($expected)

phrase-event-type-name = 1 to 128 characters: parts of A-Z a-z 0-9 _ - joined by single dots
phrase-another-name = another name: test deliveries have this one
phrase-channel = 1 to 64 characters of A-Z a-z 0-9 . _ : -
phrase-external-id = 1 to 128 characters of A-Z a-z 0-9 . _ : -
phrase-an-email = an e-mail address
phrase-a-role = owner, operator or viewer
phrase-current-password = the user's current password
phrase-current-code = the code that the app shows now
phrase-out-with-api-key = left out when api_key is given
phrase-out-of-invitation = left out: the invitation says whose it is
phrase-another-external-id = another id: default, system and tnt_… mean something else
phrase-header-name = 1 to 64 characters of A-Z a-z 0-9 ! # $ % & ' * + - . ^ _ ` | ~
phrase-header-prefix = 2 to 32 characters of A-Z a-z 0-9 -, the first a letter, the last a -, and not how a header of HTTP begins
phrase-another-header-prefix = another prefix: a subscription has a custom header of a name that begins with it
phrase-header-value = 1 to 1,024 printable ASCII characters, none of the outer ones a space
phrase-strong-key = 24 to 256 visible ASCII characters, at least 8 of them different
phrase-marea-developer-key = a text that begins with mk_dev_, as this kind does
phrase-marea-user-key = a text that begins with mk_user_, as this kind does
phrase-agentmessage-key = a text that begins with am_live_, as this kind does
phrase-checked-key = a text with the right checksum, since it begins as keys of Waxwing do
phrase-unmasked-value = the value itself: none is kept
phrase-standard-secret = whsec_ followed by 24 to 64 bytes in base64
phrase-agentmessage-secret = 32 bytes in base64: 44 characters
phrase-mage-secret = 64 lower-case hexadecimal characters
phrase-marea-endpoint-id = mk_we_ followed by 16 lower-case hexadecimal digits
phrase-a-uuid = a UUID

## Choices ($expected)

phrase-profiles = 'standard', 'mage', 'marea' or 'agentmessage'
phrase-envelopes = 'profile' or 'raw'
phrase-signings = 'subscription' or 'tenant'
phrase-standard-versions = '2026-04-01' or '2026-11-01'
phrase-no-version = absent: the profile mage has no versions
phrase-marea-version = '2026-05-12': the profile marea has no other
phrase-agentmessage-version = '2026-04-01': the profile agentmessage has no other
phrase-orderings = 'none' or 'fifo'
phrase-presets = full_access, read_only, publish_only or subscriber
phrase-key-kinds = native, marea_developer, marea_user or agentmessage
phrase-one-channel = exactly one channel, the storefront, for the kind marea_user
phrase-a-tenant-of-its-own = a tenant: a restricted key is bound to one
phrase-healths = healthy, degraded, failing or disabled
phrase-outcomes = success or failure
phrase-resolutions = minute, hour or day
phrase-scopes-of-figures = tenant or instance
phrase-sorts = created_at or -created_at
phrase-retry-schedule = null, or 1 to 20 delays in seconds
phrase-at-least-one-scope = at least one scope
phrase-a-scope = the name of a scope, such as events:read
phrase-left-out-beside-preset = left out when preset is given
phrase-a-subscription-that-exists = the id of a subscription that exists
phrase-a-subscription-id = a subscription's id
phrase-an-event-id = an event's id
phrase-an-event-type = an event type
phrase-an-event-type-or-pattern = an event type or pattern
phrase-an-event-type-or-a-pattern = an event type or a pattern
phrase-a-channel = a channel
phrase-a-delivery-state = pending, retrying, held, succeeded, exhausted, canceled or expired
phrase-a-state-that-allows-it = a state that allows it
phrase-an-http-status = 100 to 599
phrase-left-out-beside-filter = left out when the filter has a member besides state
phrase-a-narrow-filter = a filter with a member besides state, unless 'all' is true
phrase-an-external-id = an external id
phrase-one-to-200-characters = 1 to 200 characters
phrase-behaviours = accept, fail, hang, gone or slow_down
phrase-an-openapi-document = an OpenAPI 3.1 document
phrase-some-webhook = an object with at least one webhook
phrase-a-contained-schema = a schema that refers only to #/components/schemas
phrase-days = a number of days from 1 to 36,500
phrase-backup-hours = a number of hours from 1 to 8,760, or off
phrase-backups-kept = a number from 1 to 1,000
phrase-mail-host = a host name or an address
phrase-mail-port = a port from 1 to 65,535
phrase-mail-tls = starttls, tls or none
phrase-mail-user = a text of 1 to 320 characters
phrase-mail-password = a text of 1 to 512 bytes
phrase-mail-addresses = a list of 1 to 20 e-mail addresses
phrase-mail-minutes = a number of minutes from 1 to 1,440
phrase-a-secret-key = 64 hexadecimal characters
phrase-a-setup-token = what follows /#/setup/ in the link
phrase-a-passphrase = a text of 12 to 1,024 characters
phrase-a-rate = a number per second from 1 to 1,000,000, or off
phrase-compaction-hour = an hour of the day in UTC from 0 to 23, or off
phrase-compaction-percent = a number from 1 to 99
phrase-languages = en, es or pt
phrase-a-base-url = an http or https URL without query and fragment, at most 512 characters
phrase-a-label = a text of 1 to 64 characters
phrase-a-colour = a colour like #0a7d5a
phrase-a-picture = a data: URL in base64 of a PNG, SVG or WebP picture of at most 64 KiB
phrase-origins = a list of at most 20 origins like https://shop.example
phrase-shorter-payloads = such that payloads are not kept for longer than metadata

## Parameters ($expected)

phrase-given-once = given once
phrase-left-out = left out: there is no such parameter here
phrase-left-out-beside-after = left out when page[after] is given
phrase-page-size = 1 to 100
phrase-page-number = 1 or more
phrase-cursor-next = a cursor from links.next
phrase-cursor-prev = a cursor from links.prev
phrase-before-until = before 'until'
phrase-fewer-points-for-many = a shorter time or a longer resolution, for so many subscriptions
phrase-fewer-points = at most 1,000 points before 'until': ask for a shorter time or a longer resolution

## What is wrong with a URL ($why)

phrase-url-empty = it is empty
phrase-url-characters = spaces, control characters and backslashes are not allowed in it
phrase-url-scheme = it must begin with https://
phrase-url-user = a user name or password is not allowed in it
phrase-url-fragment = a fragment (#…) is not allowed in it
phrase-url-unreadable = it cannot be read as a URL
phrase-host-missing = the host is missing
phrase-host-dot = the host must not end with a dot
phrase-host-name = the host name is not valid
phrase-host-characters = the host holds a character that host names cannot have
phrase-host-ipv4 = the IPv4 address is not valid
phrase-host-ipv6 = the IPv6 address is not valid
phrase-port = the port is not a number from 1 to 65535

## What a key does not have itself ($what)

phrase-own-scopes = it lacks some of these scopes
phrase-own-role = it lacks some of the role's scopes
phrase-own-portal-expiry = it expires before a session of the link would; give less expires_in_seconds and session_seconds
phrase-own-lasting = it expires, and a user does not
phrase-own-events = it may not have some of these events
phrase-own-channels = it is held to other channels
phrase-own-expiry = it expires earlier
phrase-own-management-rate = it may call less often
phrase-own-publish-rate = it may publish less

## Units ($unit)

phrase-seconds = seconds
phrase-a-second = a second
phrase-deliveries-a-second = deliveries per second

## What listeners send

phrase-a-requests-id = a request's id
phrase-0-to-30 = 0 to 30
phrase-a-listened-subscription = the id of a subscription whose URL begins with https://listener.invalid/
phrase-listener-errors = dns, connect, tls, timeout or http
phrase-bytes-in-base64 = bytes in base64

## Whose viewers, and what there are too many of ($of_what)

phrase-of-one-key = one key
phrase-of-the-instance = the whole instance
phrase-many-users = users
phrase-many-subscriptions = subscriptions of one tenant
phrase-many-jobs = jobs of one tenant at once
phrase-many-portal-links = portal links of one tenant at once
phrase-many-event-deliveries = deliveries of one event
phrase-many-backlog = deliveries that wait for a paused subscription
phrase-many-test-receivers = test receivers that do other than accept

## AgentMessage's contract

phrase-webhook-delivery = Webhook delivery
phrase-a-next-cursor = a cursor from meta.next_cursor
phrase-attempt-outcomes = success, retry or dead
phrase-one-to-200 = 1 to 200
phrase-at-most-the-other-status = at most http_status_max
phrase-fixed-at-creation = left out: it is fixed at creation

## What a client is advised to do

phrase-advice-wait = Wait, then send the request again
phrase-advice-authenticate = Send a valid API key as a bearer token
phrase-advice-another-key = Use an API key that has the scope
phrase-advice-list-endpoints = List the webhook endpoints
phrase-advice-delete-endpoint = Delete a webhook endpoint that is no longer needed
phrase-advice-correct = Correct the request, then send it again
phrase-advice-another-idempotency-key = Send the request with another Idempotency-Key
