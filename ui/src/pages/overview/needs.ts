/** What somebody has to look at: one line for each kind, the worst first. */

import type { Schemas } from "../../api/client";

export type Longest = NonNullable<Schemas["StatusLongest"]>;

export type Need =
  | { kind: "disk_refusing" | "disk_low"; free: number; reserve: number }
  | { kind: "backup"; since: string }
  | { kind: "late"; count: number; since: string }
  | { kind: "failing" | "disabled"; count: number; longest: Longest | null }
  | { kind: "exhausted"; count: number }
  | { kind: "clock"; by: number; since: string };

/** Due for so long is late: more than turns and paces take. */
const LATE_SECONDS = 60;
/** Set clocks are told for this long. */
const CLOCK_TOLD_MILLISECONDS = 86_400_000;

/** `instance` is null for who may not see the server; `backupFailedAt` unless the last backup failed. */
export function needs(
  { queue, subscriptions }: Schemas["StatusAttributes"],
  instance: Schemas["StatusInstance"] | null,
  backupFailedAt: string | null,
  now: number,
): Need[] {
  const found: Need[] = [];
  if (instance && instance.disk.level !== "enough") {
    const { free_bytes: free, reserve_bytes: reserve, level } = instance.disk;
    found.push({ kind: level === "refusing" ? "disk_refusing" : "disk_low", free, reserve });
  }
  if (backupFailedAt) found.push({ kind: "backup", since: backupFailedAt });
  if (queue.oldest_due_at && queue.lag_seconds >= LATE_SECONDS) found.push({ kind: "late", count: queue.due, since: queue.oldest_due_at });
  // Those that are degraded get less until they do well again, and nobody has to do anything.
  for (const kind of ["failing", "disabled"] as const) {
    const { count, longest } = subscriptions[kind];
    if (count > 0) found.push({ kind, count, longest });
  }
  if (queue.exhausted > 0) found.push({ kind: "exhausted", count: queue.exhausted });
  const jumped_at = instance?.clock.jumped_at;
  if (instance && jumped_at && now - Date.parse(jumped_at) < CLOCK_TOLD_MILLISECONDS) {
    found.push({ kind: "clock", by: instance.clock.jumped_by_seconds, since: jumped_at });
  }
  return found;
}
