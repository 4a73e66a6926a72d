/** Light or dark: as the system says, unless the reader chose. */

import { remember, remembered } from "../remembered";

export const THEMES = ["system", "light", "dark"] as const;
export type Theme = (typeof THEMES)[number];

const REMEMBERED = "waxwing.theme";

let chosen = $state<Theme>(THEMES.find((known) => known === remembered(REMEMBERED)) ?? "system");
show();

export function theme(): Theme {
  return chosen;
}

export function chooseTheme(next: Theme): void {
  chosen = next;
  remember(REMEMBERED, next);
  show();
}

function show(): void {
  if (chosen === "system") delete document.documentElement.dataset["theme"];
  else document.documentElement.dataset["theme"] = chosen;
}
