/** Something that a page reads from the API, and reads anew when what it depends on changes. */

import type { Answer, Failure } from "./answer";

export class Resource<T> {
  /** What was read last; it stays while it is read anew, so that nothing jumps. */
  value = $state.raw<T | null>(null);
  etag: string | null = null;
  failure = $state.raw<Failure | null>(null);
  isLoading = $state(true);

  #ask: (signal: AbortSignal) => Promise<Answer<T>>;
  #running: AbortController | null = null;

  constructor(ask: (signal: AbortSignal) => Promise<Answer<T>>) {
    this.#ask = ask;
  }

  /** What is asked last wins, whichever answer comes first. */
  async reload(): Promise<void> {
    this.#running?.abort();
    const running = new AbortController();
    this.#running = running;
    this.isLoading = true;
    const answer = await this.#ask(running.signal);
    if (this.#running !== running) return;
    this.isLoading = false;
    if (answer.ok) {
      this.value = answer.value;
      this.etag = answer.etag;
      this.failure = null;
    } else {
      this.failure = answer.failure;
    }
  }

  stop(): void {
    this.#running?.abort();
    this.#running = null;
  }
}

/** For the life of a component. `ask` is run again whenever state that it reads before its first `await` changes. */
export function resource<T>(ask: (signal: AbortSignal) => Promise<Answer<T>>, everyMilliseconds?: number): Resource<T> {
  const made = new Resource(ask);
  $effect(() => {
    void made.reload();
    const timer = everyMilliseconds ? setInterval(() => document.hidden || void made.reload(), everyMilliseconds) : undefined;
    return () => {
      clearInterval(timer);
      made.stop();
    };
  });
  return made;
}
