import { expect, test } from "vitest";
import { depths, series, sum } from "./figures";

const NONE = { blocked_address: 0, connect: 0, dns: 0, http: 0, status_3xx: 0, status_4xx: 0, status_5xx: 0, timeout: 0, tls: 0 };

function point(minute: number, succeeded: number, failed: number, p95: number | null) {
  return {
    at: `2026-02-18T12:0${minute}:00.000Z`,
    events_published: succeeded,
    attempts: { succeeded, failed, failed_by: NONE },
    deliveries: { created: 10, succeeded, exhausted: 1, canceled: 0, expired: 0 },
    latency_ms: p95 === null ? null : { mean: p95, p50: p95 / 2, p95, p99: p95 },
  };
}

test("sums weigh each point by its attempts, and are unknown where nothing was tried", () => {
  expect(sum([point(0, 30, 0, 100), point(1, 5, 5, 500), point(2, 0, 0, null)])).toEqual({
    events: 35,
    created: 30,
    ended: 38,
    attempts: 40,
    failed: 5,
    successRate: 35 / 40,
    p50: 100,
    p95: 200,
  });
  expect(sum([])).toMatchObject({ attempts: 0, successRate: null, p50: null, p95: null });
});

test("lines count what is in each point, and broken where nothing was tried", () => {
  const lines = series([point(0, 60, 0, 100), point(1, 0, 0, null)]);
  expect(lines.succeeded).toEqual([60, 0]);
  expect(lines.successRate).toEqual([1, null]);
  expect(lines.p95).toEqual([100, null]);
  expect(lines.times[1]! - lines.times[0]!).toBe(60_000);
});

test("what waited before is what waits now, less what came and more what left since", () => {
  // Of each point 10 come; 3, 30 and 11 leave.
  expect(depths([point(0, 2, 0, null), point(1, 29, 0, null), point(2, 10, 0, null)], 5)).toEqual([26, 6, 5]);
  expect(depths([point(0, 0, 0, null), point(1, 0, 0, null)], 2)).toEqual([0, 2]);
});
