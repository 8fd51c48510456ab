// A colour-blind-safe scale: cividis, dark blue (expected) to yellow (a surprise). Points of Nuñez, Anderton & Renslow 2018.

const CIVIDIS: [number, number, number][] = [
  [0, 32, 76],
  [0, 45, 108],
  [49, 68, 107],
  [77, 90, 109],
  [102, 112, 112],
  [128, 135, 120],
  [155, 159, 118],
  [184, 184, 109],
  [214, 210, 92],
  [255, 233, 69],
];

/** RGB at `t` in 0 … 1. */
export function cividis(t: number): [number, number, number] {
  const x = Math.min(1, Math.max(0, t)) * (CIVIDIS.length - 1);
  const i = Math.min(CIVIDIS.length - 2, Math.floor(x));
  const [a, b, f] = [CIVIDIS[i]!, CIVIDIS[i + 1]!, x - i];
  const mix = (k: 0 | 1 | 2) => Math.round(a[k] + (b[k] - a[k]) * f);
  return [mix(0), mix(1), mix(2)];
}

export const css = ([r, g, b]: [number, number, number]): string => `rgb(${r} ${g} ${b})`;

const CACHE = Array.from({ length: 101 }, (_, i) => css(cividis(i / 100)));
/** The scale's colour as CSS; grey where the value is not known. */
export const colourAt = (t: number): string =>
  Number.isNaN(t) ? '#8a8f98' : CACHE[Math.round(Math.min(1, Math.max(0, t)) * 100)]!;

/** Black or white, whichever is read better on the scale's colour. */
export function inkOn(t: number): string {
  if (Number.isNaN(t)) return '#000';
  const [r, g, b] = cividis(t).map((v) => {
    const c = v / 255;
    return c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  }) as [number, number, number];
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179 ? '#000' : '#fff';
}
