/** `/v1/stream` read with `fetch`, since `EventSource` cannot send a bearer: what happens, as it happens, resumed where it broke off. */

import { type Schemas, caller, credentials, headers } from "./client";
import { type Failure, failureOf } from "./answer";
import { sleep } from "./patience";

interface Sent {
  "delivery.created": Schemas["DeliveryMessage"];
  "delivery.changed": Schemas["DeliveryMessage"];
  "delivery.attempted": Schemas["AttemptMessage"];
  "subscription.changed": Schemas["SubscriptionMessage"];
  gap: Schemas["GapMessage"];
}

/** A message of the stream; `id` grows. */
export type StreamMessage = { [Event in keyof Sent]: { id: string; event: Event; data: Sent[Event] } }[keyof Sent];

export interface RawMessage {
  id: string;
  event: string;
  data: string;
}

/** Cuts what comes into messages. A chunk may end anywhere, also within a line. */
export class Parser {
  #rest = "";
  #id = "";
  #event = "";
  #data: string[] = [];

  push(chunk: string): RawMessage[] {
    const lines = (this.#rest + chunk).split("\n");
    this.#rest = lines.pop() ?? "";
    const messages: RawMessage[] = [];
    for (const ended of lines) {
      const line = ended.endsWith("\r") ? ended.slice(0, -1) : ended;
      if (line === "") {
        if (this.#data.length > 0) messages.push({ id: this.#id, event: this.#event || "message", data: this.#data.join("\n") });
        this.#event = "";
        this.#data = [];
        continue;
      }
      const colon = line.indexOf(":");
      if (colon === 0) continue;
      const field = colon < 0 ? line : line.slice(0, colon);
      const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
      if (field === "id") this.#id = value;
      else if (field === "event") this.#event = value;
      else if (field === "data") this.#data.push(value);
    }
    return messages;
  }
}

export type StreamState = "connecting" | "live" | "lost";

export interface Watch {
  query?: Record<string, string>;
  /** Called with what came at once, so that a page is drawn once for it. */
  onMessages: (messages: StreamMessage[]) => void;
  onState: (state: StreamState, failure: Failure | null) => void;
  signal: AbortSignal;
}

/** Three signs of life that did not come. */
const SILENCE_MILLISECONDS_MAX = 45_000;
const WAIT_MILLISECONDS_MIN = 1_000;
const WAIT_MILLISECONDS_MAX = 15_000;

/** Watches until `signal` is aborted, or until the caller may not any more. */
export async function watch({ query = {}, onMessages, onState, signal }: Watch): Promise<void> {
  let after: string | null = null;
  let wait = WAIT_MILLISECONDS_MIN;
  while (!signal.aborted) {
    onState("connecting", null);
    let failure: Failure | null = null;
    const attempt = new AbortController();
    const stop = () => attempt.abort();
    signal.addEventListener("abort", stop, { once: true });
    let silence = setTimeout(stop, SILENCE_MILLISECONDS_MAX);
    try {
      const url = `/v1/stream?${new URLSearchParams(query)}`;
      const said = headers("GET");
      if (after) said["Last-Event-ID"] = after;
      const response = await fetch(url, { headers: said, signal: attempt.signal, cache: "no-store", credentials: credentials() });
      if (!response.ok || !response.body) {
        failure = failureOf(response.status, await response.json().catch(() => null), response.headers.get("x-request-id"));
        if (response.status === 401) caller.onUnauthorized();
        if (response.status === 401 || response.status === 403) return onState("lost", failure);
        const asked = Number(response.headers.get("retry-after")) * 1000;
        if (asked > 0) wait = asked;
      } else {
        onState("live", null);
        wait = WAIT_MILLISECONDS_MIN;
        const parser = new Parser();
        const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
        for (let read = await reader.read(); !read.done; read = await reader.read()) {
          clearTimeout(silence);
          silence = setTimeout(stop, SILENCE_MILLISECONDS_MAX);
          const messages = parser.push(read.value);
          after = messages.at(-1)?.id || after;
          if (messages.length > 0) onMessages(messages.map(typed));
        }
      }
    } catch {
      // The connection broke, or was silent for too long: again, from where it was.
    } finally {
      clearTimeout(silence);
      signal.removeEventListener("abort", stop);
    }
    if (signal.aborted) return;
    onState("lost", failure);
    await sleep(wait, signal).catch(() => {});
    wait = Math.min(wait * 2, WAIT_MILLISECONDS_MAX);
  }
}

function typed({ id, event, data }: RawMessage): StreamMessage {
  // What the document says about the stream, which the server's tests hold it to.
  return { id, event, data: JSON.parse(data) } as StreamMessage;
}
