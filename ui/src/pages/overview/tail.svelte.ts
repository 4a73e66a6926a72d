/** The newest attempts, as they happen: bounded, drawn at most a few times a second however fast they come. */

import type { Failure } from "../../api/answer";
import type { Schemas } from "../../api/client";
import { type StreamMessage, type StreamState, watch } from "../../api/stream";

export type Attempted = Schemas["AttemptMessage"];

/** More are never read. */
export const SHOWN_MAX = 50;
const DRAWN_EVERY_MILLISECONDS = 250;

export class Tail {
  rows = $state.raw<readonly Attempted[]>([]);
  state = $state<StreamState>("connecting");
  failure = $state.raw<Failure | null>(null);
  hasGap = $state(false);
  isPaused = $state(false);
  /** Came while it was paused. */
  missed = $state(0);

  #waiting: Attempted[] = [];
  #came = 0;

  /** Until the function that it answers with is called. */
  start(query: Record<string, string>): () => void {
    const stop = new AbortController();
    void watch({
      query,
      signal: stop.signal,
      onMessages: (messages) => this.#take(messages),
      onState: (state, failure) => {
        this.state = state;
        // Being told to slow down is nothing to be told about: it goes on by itself.
        this.failure = failure?.status === 429 ? null : failure;
      },
    });
    const timer = setInterval(() => this.#draw(), DRAWN_EVERY_MILLISECONDS);
    return () => {
      stop.abort();
      clearInterval(timer);
    };
  }

  pause(): void {
    this.isPaused = true;
  }

  goOn(): void {
    this.isPaused = false;
    this.missed = 0;
    this.#draw();
  }

  #take(messages: readonly StreamMessage[]): void {
    for (const message of messages) {
      if (message.event === "gap") this.hasGap = true;
      if (message.event !== "delivery.attempted") continue;
      this.#waiting.push(message.data);
      this.#came += 1;
    }
    if (this.#waiting.length > SHOWN_MAX) this.#waiting.splice(0, this.#waiting.length - SHOWN_MAX);
  }

  #draw(): void {
    if (this.#came === 0) return;
    if (this.isPaused) {
      this.missed += this.#came;
    } else {
      this.rows = [...this.#waiting.toReversed(), ...this.rows].slice(0, SHOWN_MAX);
      this.#waiting = [];
    }
    this.#came = 0;
  }
}
