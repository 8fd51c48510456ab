// What cannot be seen is shown, and what would turn the page's text is not obeyed.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { bits, duration, percent, share } from '../src/lib/numbers';
import { harmless, oneLine, visible } from '../src/lib/visible';

describe('text', () => {
  test('that turns its direction, or has no width, is named', () => {
    expect(harmless('a\u202eb')).toBe('a‹RLO›b');
    expect(harmless('\u200b')).toBe('‹ZWSP›');
    expect(harmless('\ufeff\u2028\u2029')).toBe('‹BOM›‹LS›‹PS›');
    expect(harmless('\0\x1b[31m\x7f\x85')).toBe('␀␛[31m␡‹85›');
    expect(harmless('\u200d')).toBe('‹ZWJ›');
  });

  test('that people read stays as it is: families, Devanagari, Persian, lines and tabs', () => {
    for (const text of ['👩‍👩‍👧', '👩🏽‍💻', '❤️‍🔥', 'क्‍ष', 'می‌خواهم', 'one\n\ttwo', 'שלום!123'])
      expect(harmless(text)).toBe(text);
  });

  test('whitespace is made visible on demand', () => {
    expect(visible('a b\t\n\r\u00a0\u3000')).toBe('a·b⇥⏎␍⍽⎵⎵');
    expect(oneLine('a b\nc\u202e', false)).toBe('a b⏎c‹RLO›');
  });

  test('nothing that acts is left, whatever comes', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        expect(harmless(text)).not.toMatch(/[\u202a-\u202e\u2066-\u2069\u2028\u2029\u200b\ufeff]/);
        expect(visible(text)).not.toMatch(/\p{Cc}|[\u202a-\u202e\u2066-\u2069\u200b-\u200f]/u);
      }),
    );
  });
});

describe('numbers', () => {
  test('of any size can be read', () => {
    expect([1, 0.99999, 0.5, 0.01, 0.00012, 0.0000012, 3e-14, 1e-29, 0].map(percent)).toEqual([
      '100 %',
      '> 99.99 %',
      '50.0 %',
      '1.00 %',
      '0.01 %',
      '0.00012 %',
      '3·10⁻¹² %',
      '10⁻²⁷ %',
      '0 %',
    ]);
    expect([1, 0.999999, 3e-14, 0, -1e-17].map(share)).toEqual(['100 %', '> 99.99 %', '< 0.01 %', '0 %', '0 %']);
    expect([0.5, 12, 37504].map(bits)).toEqual(['0.50 bits', '12.0 bits', '37,504.0 bits']);
    expect([0.2, 99, 309, 26991].map(duration)).toEqual(['1 s', '99 s', '5 min', '7 h']);
  });
});
