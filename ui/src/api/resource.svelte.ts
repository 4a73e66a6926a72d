/** Something that a page reads from the API, and reads anew when what it depends on changes. */

import type { Answer, Failure } from "./answer";

/** Null: there is nothing to ask for yet. */
type Ask<T> = (signal: AbortSignal) => Promise<Answer<T>> | null;

export class Resource<T> {
  /** What was read last; it stays while it is read anew, so that nothing jumps. */
  value = $state.raw<T | null>(null);
  etag: string | null = null;
  failure = $state.raw<Failure | null>(null);
  isLoading = $state(true);

  #ask: Ask<T>;
  #running: AbortController | null = null;
  #isOver = false;

  constructor(ask: Ask<T>) {
    this.#ask = ask;
  }

  begin(): void {
    this.#isOver = false;
    void this.reload();
  }

  /** What is asked last wins, whichever answer comes first. Who has left asks for nothing more, when something that was begun there ends. */
  async reload(): Promise<void> {
    if (this.#isOver) return;
    this.#running?.abort();
    const running = new AbortController();
    this.#running = running;
    const asked = this.#ask(running.signal);
    this.isLoading = asked !== null;
    if (!asked) return;
    const answer = await asked;
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
    this.#isOver = true;
  }
}

/** For the life of a component. `ask` is run again whenever state that it reads before its first `await` changes. */
export function resource<T>(ask: Ask<T>, everyMilliseconds?: number): Resource<T> {
  const made = new Resource(ask);
  $effect(() => {
    made.begin();
    const timer = everyMilliseconds ? setInterval(() => document.hidden || void made.reload(), everyMilliseconds) : undefined;
    return () => {
      clearInterval(timer);
      made.stop();
    };
  });
  return made;
}
