/** The operator's colour made into the accents of a page, of which every text can be read. */

/** Red, green and blue, 0 to 255 each. */
type Colour = readonly [number, number, number];

const BLACK: Colour = [0, 0, 0];
const WHITE: Colour = [255, 255, 255];
/** What text in the accent stands on in `tokens.css`: the ground that is hardest to read it on. */
const GROUNDS = { light: parse("#ecece9"), dark: parse("#272a2f") };
/** Of text to its ground (WCAG 2.2, AA). */
const CONTRAST_MIN = 4.5;
const STEPS = 50;
const SOFTNESS = { light: 0.9, dark: 0.8 };
const STRENGTH = 0.15;

/** Values of the custom properties, each for light and dark. */
export function accents(hex: string): Record<string, string> {
  const brand = parse(hex);
  const on = contrast(brand, WHITE) >= contrast(brand, BLACK) ? WHITE : BLACK;
  const soft = { light: mix(brand, WHITE, SOFTNESS.light), dark: mix(brand, BLACK, SOFTNESS.dark) };
  const text = {
    light: readable(brand, [GROUNDS.light, soft.light], BLACK),
    dark: readable(brand, [GROUNDS.dark, soft.dark], WHITE),
  };
  // Away from the text on it: what is pointed at is no harder to read.
  const pressed = write(mix(brand, on === WHITE ? BLACK : WHITE, STRENGTH));
  return {
    "--accent": lightDark(text.light, text.dark),
    "--accent-soft": lightDark(soft.light, soft.dark),
    "--accent-fill": write(brand),
    "--accent-strong": pressed,
    "--on-accent": write(on),
  };
}

/** As WCAG 2.2 defines it: 1 to 21. */
export function contrast(a: Colour, b: Colour): number {
  const [low, high] = [luminance(a), luminance(b)].toSorted((x, y) => x - y) as [number, number];
  return (high + 0.05) / (low + 0.05);
}

/** `#rrggbb` */
export function parse(hex: string): Colour {
  return [1, 3, 5].map((at) => Number.parseInt(hex.slice(at, at + 2), 16)) as unknown as Colour;
}

/** The colour, as far towards the end as it takes to be read on all of the grounds. */
function readable(colour: Colour, grounds: readonly Colour[], end: Colour): Colour {
  for (let step = 0; step < STEPS; step += 1) {
    const mixed = mix(colour, end, step / STEPS);
    if (grounds.every((ground) => contrast(mixed, ground) >= CONTRAST_MIN)) return mixed;
  }
  return end;
}

function mix(from: Colour, to: Colour, part: number): Colour {
  return from.map((value, at) => Math.round(value + ((to[at] ?? 0) - value) * part)) as unknown as Colour;
}

function luminance(colour: Colour): number {
  const [red, green, blue] = colour.map((value) => {
    const part = value / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  }) as [number, number, number];
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

function lightDark(light: Colour, dark: Colour): string {
  return `light-dark(${write(light)}, ${write(dark)})`;
}

function write(colour: Colour): string {
  return `#${colour.map((value) => value.toString(16).padStart(2, "0")).join("")}`;
}
