/** What the points of `/v1/stats` come to: sums for all of the time, and lines for charts. */

import type { Schemas } from "../../api/client";

type Point = Schemas["StatsPoint"];
export type Resolution = Schemas["StatsAttributes"]["resolution"];

/** The times that one can look at. */
export const SPANS = {
  hour: { milliseconds: 3_600_000, resolution: "minute" },
  day: { milliseconds: 86_400_000, resolution: "hour" },
  week: { milliseconds: 7 * 86_400_000, resolution: "hour" },
} as const satisfies Record<string, { milliseconds: number; resolution: Resolution }>;

export type Span = keyof typeof SPANS;

/** All of the points together. Percentiles cannot be added: what is told is their mean, weighted by attempts. */
export function sum(points: readonly Point[]) {
  let [events, succeeded, failed, created, ended] = [0, 0, 0, 0, 0];
  let [p50, p95, measured] = [0, 0, 0];
  for (const { events_published, attempts, deliveries, latency_ms } of points) {
    events += events_published ?? 0;
    succeeded += attempts.succeeded;
    failed += attempts.failed;
    created += deliveries.created;
    ended += endedOf(deliveries);
    if (latency_ms) {
      const weight = attempts.succeeded + attempts.failed;
      measured += weight;
      p50 += latency_ms.p50 * weight;
      p95 += latency_ms.p95 * weight;
    }
  }
  const attempts = succeeded + failed;
  return {
    events,
    created,
    ended,
    attempts,
    failed,
    successRate: attempts === 0 ? null : succeeded / attempts,
    p50: measured === 0 ? null : p50 / measured,
    p95: measured === 0 ? null : p95 / measured,
  };
}

/** Lines over the points. Counts are those of each point: one attempt in an hour is 1, and no thousandth of something per second. */
export function series(points: readonly Point[]) {
  return {
    times: points.map(({ at }) => Date.parse(at)),
    succeeded: points.map(({ attempts }) => attempts.succeeded),
    failed: points.map(({ attempts }) => attempts.failed),
    successRate: points.map(({ attempts: { succeeded, failed } }) => (succeeded + failed === 0 ? null : succeeded / (succeeded + failed))),
    p50: points.map(({ latency_ms }) => latency_ms?.p50 ?? null),
    p95: points.map(({ latency_ms }) => latency_ms?.p95 ?? null),
    created: points.map(({ deliveries }) => deliveries.created),
    ended: points.map(({ deliveries }) => endedOf(deliveries)),
  };
}

/** How many deliveries waited at the end of each point: what waits now, less what came in since and more what left. A delivery that a person tried again leaves twice. */
export function depths(points: readonly Point[], waiting: number): number[] {
  let depth = waiting;
  return points
    .toReversed()
    .map(({ deliveries }) => {
      const here = Math.max(depth, 0);
      depth += endedOf(deliveries) - deliveries.created;
      return here;
    })
    .toReversed();
}

function endedOf({ succeeded, exhausted, canceled, expired }: Schemas["StatsDeliveries"]): number {
  return succeeded + exhausted + canceled + expired;
}
