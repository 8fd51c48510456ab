// The sampler on a list that is a part of the vocabulary, against transformers' order on all of it.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { PLAIN, reweigh, type Sampler } from '../src/lib/sampler';

/** Temperature, top-k, top-p, min-p over a whole vocabulary, as transformers' warpers do it one after the other. */
function whole(probs: number[], s: Sampler): number[] {
  const norm = (list: number[]) => {
    const sum = list.reduce((a, b) => a + b, 0);
    return list.map((p) => p / sum);
  };
  let p = norm(probs.map((x) => x ** (1 / s.temperature)));
  if (s.topK > 0) p = norm(p.map((x, i) => (i < s.topK ? x : 0)));
  if (s.topP < 1) {
    let before = 0;
    p = norm(
      p.map((x) => {
        const stays = before < s.topP;
        before += x;
        return stays ? x : 0;
      }),
    );
  }
  const least = s.minP * p[0]!;
  return norm(p.map((x) => (x >= least ? x : 0)));
}

const vocabulary = fc
  .array(fc.double({ min: 1e-4, max: 1, noNaN: true }), { minLength: 1, maxLength: 30 })
  .map((list) => {
    const sum = list.reduce((a, b) => a + b, 0);
    return list.map((x) => x / sum).sort((a, b) => b - a);
  });
const sampler = fc.record({
  temperature: fc.oneof(fc.constant(1), fc.double({ min: 0.1, max: 2, noNaN: true })),
  topK: fc.nat(35),
  topP: fc.oneof(fc.constant(1), fc.double({ min: 0.05, max: 1, noNaN: true })),
  minP: fc.oneof(fc.constant(0), fc.double({ min: 0, max: 1, noNaN: true })),
});

/** Whether no cut hangs on the last digits of a sum or a ratio. */
function isClear(probs: number[], s: Sampler): boolean {
  const hot = probs.map((x) => x ** (1 / s.temperature));
  const kept = hot.map((x, i) => (s.topK === 0 || i < s.topK ? x : 0));
  const sum = kept.reduce((a, b) => a + b, 0);
  let before = 0;
  return kept.every((x, i) => {
    before += x / sum;
    return Math.abs(before - s.topP) > 1e-9 && Math.abs(hot[i]! / hot[0]! - s.minP) > 1e-9;
  });
}

const close = (ours: number[], theirs: number[]) => ours.every((p, i) => Math.abs(p - theirs[i]!) < 1e-8);

describe('sampler', () => {
  test('on a whole vocabulary it is what transformers does', () => {
    fc.assert(
      fc.property(vocabulary, sampler, (probs, s) => {
        fc.pre(isClear(probs, s));
        const ours = reweigh(probs.map(Math.log), s);
        expect(ours.exact).toBe(true);
        expect(close(ours.probs, whole(probs, s))).toBe(true);
      }),
      { numRuns: 3000 },
    );
  });

  test('what is said to be exact is, whatever is not listed', () => {
    let exact = 0;
    fc.assert(
      fc.property(vocabulary, fc.nat(30), sampler, (probs, k, s) => {
        fc.pre(isClear(probs, s));
        const r = reweigh(probs.slice(0, Math.max(1, k)).map(Math.log), s);
        if (r.exact) {
          exact++;
          expect(close(r.probs, whole(probs, s))).toBe(true);
        }
      }),
      { numRuns: 3000 },
    );
    expect(exact).toBeGreaterThan(100);
  });

  test('what is known beyond the list counts as well as what is on it', () => {
    let exact = 0;
    fc.assert(
      fc.property(vocabulary, fc.nat(30), fc.nat(4), sampler, (probs, k, every, s) => {
        fc.pre(isClear(probs, s));
        const [listed, others] = [probs.slice(0, k), probs.slice(k)];
        const far = others.filter((_, i) => i % (every + 1) === 0);
        const r = reweigh(listed.map(Math.log), s, far.map(Math.log));
        const sum = [...r.probs, ...r.beyond, r.other].reduce((a, b) => a + b, 0);
        expect(sum).toBeCloseTo(1, 9);
        if (!r.exact) return;
        exact++;
        const truth = whole(probs, s);
        expect(close(r.probs, truth)).toBe(true);
        expect(
          close(
            r.beyond,
            truth.slice(k).filter((_, i) => i % (every + 1) === 0),
          ),
        ).toBe(true);
      }),
      { numRuns: 3000 },
    );
    expect(exact).toBeGreaterThan(100);
  });

  test('what depends on tokens that are not listed is not said to be exact', () => {
    const short = [0.5, 0.2].map(Math.log);
    expect(reweigh(short, { ...PLAIN, topK: 5 }).exact).toBe(false);
    expect(reweigh(short, { ...PLAIN, temperature: 0.5 }).exact).toBe(false);
    expect(reweigh(short, { ...PLAIN, temperature: 0.5, topP: 0.6 }).exact).toBe(false);
    expect(reweigh(short, { ...PLAIN, topP: 0.9 }).exact).toBe(false);
    expect(reweigh(short, { ...PLAIN, minP: 0.3 }).exact).toBe(false);
    // These cut all that is not listed before its weight matters.
    expect(reweigh(short, { ...PLAIN, temperature: 0.5, topK: 2 }).exact).toBe(true);
    expect(reweigh(short, { ...PLAIN, temperature: 2, minP: 0.9 }).exact).toBe(true);
    expect(reweigh(short, { ...PLAIN, topP: 0.6 }).exact).toBe(true);
  });

  test('an empty list and a list of one are no trouble', () => {
    expect(reweigh([], PLAIN)).toEqual({ probs: [], beyond: [], other: 1, exact: true });
    expect(reweigh([0], { temperature: 0.1, topK: 1, topP: 0.5, minP: 1 }).probs).toEqual([1]);
  });
});
