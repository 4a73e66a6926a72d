/** An attempt's time, by what it was spent on. */

import type { Schemas } from "../../api/client";

export type Phase = "dns" | "connect" | "tls" | "first_byte" | "rest";

/** In the order in which they came; those that took no time, or were not come to, are left out. Parts of one. */
export function phases({ dns, connect, tls, first_byte, total }: Schemas["AttemptDuration"]): { phase: Phase; milliseconds: number; part: number }[] {
  const measured: [Phase, number][] = [
    ["dns", dns ?? 0],
    ["connect", connect ?? 0],
    ["tls", tls ?? 0],
    ["first_byte", first_byte ?? 0],
  ];
  const rest = total - measured.reduce((sum, [, milliseconds]) => sum + milliseconds, 0);
  const all = [...measured, ["rest", Math.max(rest, 0)] satisfies [Phase, number]] as const;
  const whole = Math.max(total, 0.001);
  return all.filter(([, milliseconds]) => milliseconds >= whole * 0.005).map(([phase, milliseconds]) => ({ phase, milliseconds, part: Math.min(milliseconds / whole, 1) }));
}
