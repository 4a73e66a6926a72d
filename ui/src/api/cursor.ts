/** The cursor in a link of a list. */
export function cursorOf(link: string | null | undefined, direction: "after" | "before"): string | null {
  if (!link) return null;
  return new URL(link, "http://relative.invalid").searchParams.get(`page[${direction}]`);
}
