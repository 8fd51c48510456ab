// One amber scale in two directions: from paper to ink on a light page, from ground to light on a dark one. What the
// model expected is as good as unmarked, a surprise stands out. Lightness goes one way only, so the scale can be read
// by who sees no colours (tests/colours.test.ts).

export type Scheme = 'light' | 'dark';
export type Rgb = [number, number, number];

const SCALES: Record<Scheme, Rgb[]> = {
  light: [
    [252, 251, 249],
    [255, 243, 205],
    [254, 226, 150],
    [254, 200, 92],
    [252, 165, 55],
    [240, 124, 28],
    [206, 82, 10],
    [156, 52, 8],
    [102, 34, 8],
  ],
  dark: [
    [20, 23, 28],
    [50, 42, 28],
    [90, 63, 22],
    [126, 85, 22],
    [166, 113, 28],
    [204, 144, 42],
    [235, 178, 72],
    [251, 213, 130],
    [255, 242, 205],
  ],
};

const UNKNOWN: Record<Scheme, Rgb> = { light: [198, 203, 211], dark: [72, 79, 90] };

/** RGB at `t` in 0 … 1; grey where the value is not known. */
export function scale(t: number, scheme: Scheme): Rgb {
  if (Number.isNaN(t)) return UNKNOWN[scheme];
  const points = SCALES[scheme];
  const x = Math.min(1, Math.max(0, t)) * (points.length - 1);
  const i = Math.min(points.length - 2, Math.floor(x));
  return mix(points[i]!, points[i + 1]!, x - i);
}

/** A colour between two, at `f` in 0 … 1. */
export const mix = (a: Rgb, b: Rgb, f: number): Rgb => [
  Math.round(a[0] + (b[0] - a[0]) * f),
  Math.round(a[1] + (b[1] - a[1]) * f),
  Math.round(a[2] + (b[2] - a[2]) * f),
];

/** The scale's colour where it fades into the page: what has little probability is drawn faintly, whatever it is. */
export const faded = (t: number, scheme: Scheme, strength: number): Rgb =>
  mix(SCALES[scheme][0]!, scale(t, scheme), strength);

/** What run A expected more, and what run B did. */
const SIDES: Record<Scheme, { a: Rgb; b: Rgb }> = {
  light: { a: [230, 126, 34], b: [15, 125, 157] },
  dark: { a: [224, 136, 58], b: [63, 167, 201] },
};

/** The colour of a difference: of run A or B, as strongly as `strength` in 0 … 1 says. */
export const sideColour = (side: 'a' | 'b', scheme: Scheme, strength: number): Rgb =>
  mix(SCALES[scheme][0]!, SIDES[scheme][side], strength);

export const css = ([r, g, b]: Rgb): string => `rgb(${r} ${g} ${b})`;

const CACHE: Record<Scheme, string[]> = {
  light: Array.from({ length: 101 }, (_, i) => css(scale(i / 100, 'light'))),
  dark: Array.from({ length: 101 }, (_, i) => css(scale(i / 100, 'dark'))),
};

/** The scale's colour as CSS. */
export const colourAt = (t: number, scheme: Scheme): string =>
  Number.isNaN(t) ? css(UNKNOWN[scheme]) : CACHE[scheme][Math.round(Math.min(1, Math.max(0, t)) * 100)]!;

/** Relative luminance, as WCAG 2 defines it. */
export function luminance(rgb: Rgb): number {
  const [r, g, b] = rgb.map((v) => {
    const c = v / 255;
    return c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  }) as Rgb;
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

const INKS: [dark: string, light: string] = ['#000000', '#ffffff'];

/** The ink that is read better on a colour. */
export const inkFor = (rgb: Rgb): string => (luminance(rgb) > 0.179 ? INKS[0] : INKS[1]);

/** The ink that is read better on the scale's colour. */
export const inkOn = (t: number, scheme: Scheme): string => inkFor(scale(t, scheme));

/** How strongly a mass is drawn: all of the colour from a tenth on, less with every power of ten below it. */
export const strengthOf = (logprob: number): number => Math.min(1, Math.max(0.3, 1 + (logprob / Math.LN10 + 1) * 0.16));
