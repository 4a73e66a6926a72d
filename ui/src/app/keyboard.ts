/** The keys that work everywhere: `/` to search, `g` and a letter to go somewhere, `?` for the list of them. */

/** Longer than this after `g`, a letter is just a letter. */
const SEQUENCE_MILLISECONDS_MAX = 1_200;

export interface Keys {
  /** Where a letter after `g` leads. */
  places: Record<string, () => void>;
  onhelp: () => void;
}

export function listen({ places, onhelp }: Keys): () => void {
  let pressedG = Number.NEGATIVE_INFINITY;
  const keydown = (event: KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target) || document.querySelector("dialog[open]")) return;
    const isSecond = event.timeStamp - pressedG < SEQUENCE_MILLISECONDS_MAX;
    pressedG = Number.NEGATIVE_INFINITY;
    const go = isSecond ? places[event.key] : undefined;
    if (go) go();
    else if (event.key === "g") pressedG = event.timeStamp;
    else if (event.key === "?") onhelp();
    else if (event.key === "/") document.querySelector<HTMLElement>("[data-search]")?.focus();
    else return;
    event.preventDefault();
  };
  addEventListener("keydown", keydown);
  return () => removeEventListener("keydown", keydown);
}

function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && target.matches("input, textarea, select, [contenteditable]");
}
