import { expect, test } from "vitest";
import type { Schemas } from "../../api/client";
import { needs } from "./needs";

const NOW = Date.parse("2026-02-18T12:00:00Z");
const NONE = { count: 0, longest: null };
const QUIET: Schemas["StatusAttributes"] = {
  scope: "instance",
  queue: { pending: 0, retrying: 0, held: 0, due: 0, oldest_due_at: null, lag_seconds: 0, exhausted: 0 },
  subscriptions: { healthy: 2, paused: 1, degraded: NONE, failing: NONE, disabled: NONE },
  instance: null,
};
const WELL: Schemas["StatusInstance"] = {
  version: "1",
  uptime_seconds: 5,
  attempts_under_way: 0,
  lanes: 0,
  disk: { free_bytes: 900, reserve_bytes: 100, warning_bytes: 200, total_bytes: 1000, level: "enough" },
  files: { store_bytes: 1, journal_bytes: 1 },
  journal: { bytes: 0, checkpoint_at: null },
  clock: { jumped_at: null, jumped_by_seconds: 0, drift_seconds: 0 },
};

test("a quiet instance needs nothing", () => {
  expect(needs(QUIET, WELL, null, NOW)).toEqual([]);
  expect(needs(QUIET, null, null, NOW)).toEqual([]);
});

test("each kind is told once with its count, the worst first", () => {
  const longest = { subscription_id: "whsub_1", tenant_id: "tnt_1", url: "https://example.com", since: "2026-02-18T11:00:00Z" };
  const status = {
    ...QUIET,
    queue: { ...QUIET.queue, due: 7, oldest_due_at: "2026-02-18T11:50:00Z", lag_seconds: 600, exhausted: 3 },
    subscriptions: { ...QUIET.subscriptions, failing: { count: 2, longest }, disabled: { count: 1, longest }, degraded: { count: 4, longest } },
  };
  const instance = {
    ...WELL,
    disk: { ...WELL.disk, free_bytes: 150, level: "low" as const },
    clock: { jumped_at: "2026-02-18T10:00:00Z", jumped_by_seconds: -60, drift_seconds: -60 },
  };
  expect(needs(status, instance, "2026-02-18T03:00:00Z", NOW)).toEqual([
    { kind: "disk_low", free: 150, reserve: 100 },
    { kind: "backup", since: "2026-02-18T03:00:00Z" },
    { kind: "late", count: 7, since: "2026-02-18T11:50:00Z" },
    { kind: "failing", count: 2, longest },
    { kind: "disabled", count: 1, longest },
    { kind: "exhausted", count: 3 },
    { kind: "clock", by: -60, since: "2026-02-18T10:00:00Z" },
  ]);
});

test("a moment's wait is not late, and a clock that was set is old news after a day", () => {
  const status = { ...QUIET, queue: { ...QUIET.queue, due: 1, oldest_due_at: "2026-02-18T11:59:30Z", lag_seconds: 30 } };
  const instance = { ...WELL, clock: { jumped_at: "2026-02-17T11:59:59Z", jumped_by_seconds: 60, drift_seconds: 60 } };
  expect(needs(status, instance, null, NOW)).toEqual([]);
});
