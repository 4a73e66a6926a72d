/** What a call comes to: errors are values, and keep the code and the request's id for whoever has to ask about them. */

/** One problem, as contract 3.1 writes it. */
export interface Problem {
  code: string;
  detail: string;
  /** A JSON pointer into the body, or the name of a parameter or header */
  where: string | null;
}

export interface Failure {
  /** 0 when no answer came */
  status: number;
  /** `unreachable` when no answer came */
  code: string;
  detail: string;
  requestId: string | null;
  problems: Problem[];
}

export type Answer<T> = { ok: true; value: T; etag: string | null } | { ok: false; failure: Failure };

/** As openapi-fetch gives it. */
interface Fetched<T> {
  data?: T;
  error?: unknown;
  response: Response;
}

export async function ask<T>(call: Promise<Fetched<T>>): Promise<Answer<T>> {
  try {
    const { data, error, response } = await call;
    if (response.ok) return { ok: true, value: data as T, etag: response.headers.get("etag") };
    return { ok: false, failure: failureOf(response.status, error, response.headers.get("x-request-id")) };
  } catch (error) {
    return { ok: false, failure: unreachable(error) };
  }
}

export function unreachable(error: unknown): Failure {
  const detail = error instanceof Error ? error.message : String(error);
  const code = error instanceof DOMException && error.name === "AbortError" ? "aborted" : "unreachable";
  return { status: 0, code, detail, requestId: null, problems: [] };
}

/** Reads a body of errors. Whatever else comes (a proxy's page, say) is still a failure with its status. */
export function failureOf(status: number, body: unknown, requestId: string | null): Failure {
  const entries = isRecord(body) && Array.isArray(body["errors"]) ? body["errors"].filter(isRecord) : [];
  const problems = entries.map((entry) => ({
    code: text(entry["code"]) ?? "unknown",
    detail: text(entry["detail"]) ?? "",
    where: whereOf(entry["source"]),
  }));
  const first = problems[0] ?? { code: `http_${status}`, detail: `HTTP ${status}`, where: null };
  return { status, code: first.code, detail: first.detail, requestId: requestId ?? text(entries[0]?.["id"]) ?? null, problems };
}

/** The problem that a field of a form has: what points at `/name`, or below it. */
export function problemOf(failure: Failure | null, field: string): string | null {
  const pointer = `/${field}`;
  const found = failure?.problems.find(({ where }) => where === pointer || where?.startsWith(`${pointer}/`));
  return found?.detail ?? null;
}

/** What is wrong and has no field in the form that could show it. */
export function problemsBeside(failure: Failure, fields: readonly string[]): Problem[] {
  return failure.problems.filter(({ where }) => !fields.some((field) => where === `/${field}` || where?.startsWith(`/${field}/`)));
}

function whereOf(source: unknown): string | null {
  if (!isRecord(source)) return null;
  return text(source["pointer"]) ?? text(source["parameter"]) ?? text(source["header"]) ?? null;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}

function text(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}
