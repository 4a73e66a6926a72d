/** Values of settings as text that people read and write. */

const BYTES_SHOWN_MAX = 60;

/** Null: nothing is set. */
export function shown(value: unknown): string | null {
  if (value === null || value === undefined) return null;
  if (Array.isArray(value)) return value.length === 0 ? null : value.join(", ");
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return text.length > BYTES_SHOWN_MAX && text.startsWith("data:") ? `${text.slice(0, BYTES_SHOWN_MAX)}…` : text;
}

/** One value a line. */
export const LISTS = ["portal.frame_ancestors", "mail.to"];

/** Texts, also when they are digits. */
const TEXTS = ["portal.name", "mail.user"];

/** What was written into a form; nothing means back to the default. Whether it is right is for the server to say. */
export function read(name: string, text: string): unknown {
  // Every character of a password counts.
  if (name === "mail.password") return text === "" ? null : text;
  const written = text.trim();
  if (written === "") return null;
  if (LISTS.includes(name)) return written.split(/[\s,]+/);
  if (TEXTS.includes(name)) return written;
  return /^\d+$/.test(written) ? Number(written) : written;
}
