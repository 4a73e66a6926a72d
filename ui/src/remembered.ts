/** What the browser keeps from one visit to the next. In a frame of another site it may refuse to: then nothing is remembered, and all else works. */

export function remembered(name: string): string | null {
  try {
    return globalThis.localStorage?.getItem(name) ?? null;
  } catch {
    return null;
  }
}

/** Null: no longer. */
export function remember(name: string, value: string | null): void {
  try {
    if (value === null) globalThis.localStorage?.removeItem(name);
    else globalThis.localStorage?.setItem(name, value);
  } catch {
    // The choice holds for this visit.
  }
}
