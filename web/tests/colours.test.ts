// The colour scales: lightness goes one way, and text on them can be read.

import { describe, expect, test } from 'vitest';
import { faded, inkFor, inkOn, luminance, type Rgb, type Scheme, scale, strengthOf } from '../src/lib/colours';

const PAGE: Record<Scheme, Rgb> = { light: [252, 251, 249], dark: [20, 23, 28] };
const rgbOf = (hex: string): Rgb => [1, 3, 5].map((i) => Number.parseInt(hex.slice(i, i + 2), 16)) as Rgb;
const contrast = (a: Rgb, b: Rgb): number => {
  const [x, y] = [luminance(a), luminance(b)].sort((p, q) => q - p) as [number, number];
  return (x + 0.05) / (y + 0.05);
};
const steps = Array.from({ length: 101 }, (_, i) => i / 100);

describe.each(['light', 'dark'] as const)('the %s scale', (scheme) => {
  test('begins as the page and moves away from it with every step', () => {
    expect(contrast(scale(0, scheme), PAGE[scheme])).toBeCloseTo(1, 5);
    const away = steps.map((t) => contrast(scale(t, scheme), PAGE[scheme]));
    for (let i = 1; i < away.length; i++) expect(away[i]!).toBeGreaterThanOrEqual(away[i - 1]!);
    // A token of 50 % is hardly marked, one of 2 % stands out.
    expect(away[17]!).toBeLessThan(1.6);
    expect(away[100]!).toBeGreaterThan(8);
  });

  test('text on it has a contrast of 4.5 at least, also where it is faded', () => {
    for (const t of [...steps, Number.NaN]) {
      expect(contrast(scale(t, scheme), rgbOf(inkOn(t, scheme)))).toBeGreaterThanOrEqual(4.5);
      for (const f of [0.3, 0.5, 0.7, 0.9]) {
        const colour = faded(t, scheme, f);
        expect(contrast(colour, rgbOf(inkFor(colour)))).toBeGreaterThanOrEqual(4.5);
      }
    }
  });
});

test('mass fades: a tenth has all of the colour, a millionth little of it, and never none', () => {
  expect(strengthOf(Math.log(0.1))).toBe(1);
  expect(strengthOf(Math.log(1e-6))).toBeLessThan(0.4);
  expect(strengthOf(Number.NEGATIVE_INFINITY)).toBe(0.3);
});
