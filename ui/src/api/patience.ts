/** Requests that are told to slow down wait as long as they are told to, and go again. */

/** 429 means that nothing was done, so every method can be repeated. */
const REPEATS_MAX = 4;
const WAIT_SECONDS_MAX = 30;

export type Fetch = (request: Request) => Promise<Response>;

export async function patiently(send: Fetch, request: Request, wait: typeof sleep = sleep): Promise<Response> {
  for (let repeats = 0; ; repeats += 1) {
    // A body can be read once: each try has a copy.
    const response = await send(request.clone());
    const seconds = Number(response.headers.get("retry-after"));
    const isWorthIt = response.status === 429 && seconds > 0 && seconds <= WAIT_SECONDS_MAX && repeats < REPEATS_MAX;
    if (!isWorthIt) return response;
    await response.body?.cancel();
    await wait(seconds * 1000, request.signal);
  }
}

/** Ends early, with the signal's reason, when that is aborted. */
export function sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason as Error);
    const stop = () => {
      clearTimeout(timer);
      reject(signal?.reason as Error);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, milliseconds);
    signal?.addEventListener("abort", stop, { once: true });
  });
}
