/** Event types that many have: something to begin with. */

export interface Template {
  name: string;
  description: string;
  example: Record<string, unknown>;
}

export const TEMPLATES: readonly Template[] = [
  { name: "order.paid", description: "The payment of an order arrived.", example: { order: "1001", total: "49.90", currency: "EUR" } },
  { name: "customer.created", description: "Somebody opened an account.", example: { customer: "c-42", email: "ana@example.com" } },
  { name: "document.signed", description: "All parties signed a document.", example: { document: "d-7", signed_by: ["ana@example.com", "rui@example.com"] } },
];

/** A JSON Schema that the example fits: its members, all of them required. */
export function schemaOf(example: Record<string, unknown>): Record<string, unknown> {
  const properties = Object.fromEntries(Object.entries(example).map(([name, value]) => [name, { type: Array.isArray(value) ? "array" : typeof value }]));
  return { type: "object", required: Object.keys(example), properties };
}

/** What one types to send an event, with everything that a shell would take for its own quoted. */
export function curlOf(origin: string, key: string, type: string, example: unknown): string {
  const body = JSON.stringify({ type, data: example }).replaceAll("'", "'\\''");
  return [`curl ${origin}/v1/events \\`, `  -H 'Authorization: Bearer ${key}' \\`, "  -H 'Content-Type: application/json' \\", `  -d '${body}'`].join("\n");
}
