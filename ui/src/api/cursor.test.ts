import { expect, test } from "vitest";
import { cursorOf } from "./cursor";

test("a link's cursor is the one of its direction", () => {
  const link = "/v1/deliveries?page%5Bafter%5D=abc&page%5Bsize%5D=20";
  expect(cursorOf(link, "after")).toBe("abc");
  expect(cursorOf(link, "before")).toBeNull();
  expect(cursorOf(null, "after")).toBeNull();
});
