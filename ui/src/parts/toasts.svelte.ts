/** What just happened, said for a moment at the edge of the page. */

import type { Tone } from "./Badge.svelte";

export interface Toast {
  id: number;
  text: string;
  tone: Tone;
}

const SHOWN_MILLISECONDS = 5_000;
const SHOWN_MAX = 4;

let shown = $state<Toast[]>([]);
let last = 0;

export function toasts(): readonly Toast[] {
  return shown;
}

export function tell(text: string, tone: Tone = "good"): void {
  last += 1;
  const id = last;
  shown = [...shown, { id, text, tone }].slice(-SHOWN_MAX);
  setTimeout(() => dismiss(id), SHOWN_MILLISECONDS);
}

export function dismiss(id: number): void {
  shown = shown.filter((toast) => toast.id !== id);
}
