/** Which browser on which system a session is of, for people: what a `User-Agent` says first is of no use to them. */

// Most of them name others as well: the first that fits is what it is.
const BROWSERS = [
  ["Edge", /\bEdgA?\//],
  ["Opera", /\bOPR\//],
  ["Samsung Internet", /\bSamsungBrowser\//],
  ["Firefox", /\b(Firefox|FxiOS)\//],
  ["Chrome", /\b(HeadlessChrome|Chrome|CriOS)\//],
  ["Safari", /\bVersion\/[\d.]+ .*Safari\//],
] as const;

const SYSTEMS = [
  ["iOS", /\b(iPhone|iPad|iPod)\b/],
  ["Android", /\bAndroid\b/],
  ["Windows", /\bWindows\b/],
  ["macOS", /\bMac OS X\b/],
  ["ChromeOS", /\bCrOS\b/],
  ["Linux", /\bLinux\b/],
] as const;

/** `Firefox · Windows`; of a program that is no browser, the first word that it says of itself. */
export function agentName(userAgent: string): string {
  const named = [BROWSERS, SYSTEMS].flatMap((known) => known.find(([, pattern]) => pattern.test(userAgent))?.[0] ?? []);
  return named.length > 0 ? named.join(" · ") : (userAgent.split(" ")[0] ?? "");
}
