import { expect, test } from "vitest";
import { EMPTY, changes, toBody } from "./form";

test("texts become what the API takes", () => {
  const body = toBody({
    ...EMPTY,
    url: " https://example.com/ ",
    events: "order.paid\n\n order.* \n",
    channels: "a, b,,c ",
    headers: "X-One: 1\nX-Two:a:b\nX-Three",
    rate_limit: "5",
    retry_schedule: "5, 300,x",
  });
  expect(body).toMatchObject({
    url: "https://example.com/",
    events: ["order.paid", "order.*"],
    description: null,
    channels: ["a", "b", "c"],
    headers: { "X-One": "1", "X-Two": "a:b", "X-Three": "" },
    rate_limit: 5,
    max_in_flight: 10,
    retry_schedule: [5, 300, "x"],
  });
  expect(toBody(EMPTY)).toMatchObject({ rate_limit: null, retry_schedule: null, channels: [], headers: {} });
});

test("only what was changed is sent", () => {
  const before = { ...EMPTY, url: "https://a.example", events: "order.paid" };
  expect(changes(before, { ...before })).toEqual({});
  expect(changes(before, { ...before, events: "order.paid\n" })).toEqual({});
  expect(changes(before, { ...before, rate_limit: "3", description: "x" })).toEqual({ rate_limit: 3, description: "x" });
  expect(changes({ ...before, rate_limit: "3" }, before)).toEqual({ rate_limit: null });
});
