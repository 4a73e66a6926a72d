/** An event type with its schema and example as they were written: reading them as values would change digits and the order of names. */

import { type Answer, ask } from "../../api/answer";
import { type Schemas, api } from "../../api/client";
import { memberText } from "../../words/json";

export interface EventTypeText {
  type: Schemas["EventType"];
  /** Null when it has none */
  schema: string | null;
  example: string | null;
}

export async function readEventType(name: string, signal: AbortSignal): Promise<Answer<EventTypeText>> {
  const answer = await ask(api.GET("/v1/event-types/{name}", { params: { path: { name } }, parseAs: "text", signal }));
  if (!answer.ok) return answer;
  const { data } = JSON.parse(answer.value) as { data: Schemas["EventType"] };
  const text = (member: string) => {
    const found = memberText(answer.value, ["data", "attributes", member]);
    return found === "null" ? null : found;
  };
  return { ok: true, etag: answer.etag, value: { type: data, schema: text("schema"), example: text("example") } };
}
