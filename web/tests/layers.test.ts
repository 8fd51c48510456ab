import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { aheadFrom, type Layers, layerName, leads, rivals, strongest } from '../src/lib/layers';

/** Layers in which tokens have these log probabilities, and parts that are their steps. */
function made(...logprobs: number[][]): Layers {
  const part = (row: number[], i: number) => (i === 0 ? row[0]! : row[i]! - row[i - 1]!);
  return {
    decided: 0,
    tokens: logprobs.map((_, id) => ({ id: id + 10, text: `t${id}`, logit: 0, rest: 0 })),
    layers: logprobs[0]!.map((_, i) => ({
      best: { id: 10, text: 't0' },
      logprob: -1,
      tokens: logprobs.map((row) => ({ logprob: row[i]!, rank: 1, part: part(row, i) })),
    })),
  };
}

describe('layers', () => {
  it('sets the token that is there against the likeliest other', () => {
    const l = made([-1], [-2], [-3]);
    expect(rivals(l, null)).toEqual([0, 1]);
    expect(rivals(l, 10)).toEqual([0, 1]);
    expect(rivals(l, 11)).toEqual([1, 0]);
    expect(rivals(l, 12)).toEqual([2, 0]);
    // A token that the server says nothing about.
    expect(rivals(l, 99)).toEqual([0, 1]);
  });

  it('tells who is ahead in bits, and from where on', () => {
    const ln2 = Math.LN2;
    const l = made([-5 * ln2, -2 * ln2, -4 * ln2, -1 * ln2], [-4 * ln2, -3 * ln2, -1 * ln2, -2 * ln2]);
    expect(leads(l, [0, 1]).map((x) => Math.round(x))).toEqual([-1, 1, -3, 1]);
    expect(aheadFrom(leads(l, [0, 1]))).toBe(3);
    expect(aheadFrom(leads(l, [1, 0]))).toBe(null);
    // The third layer gave the first token 3 of the 4 bits, the second one 1 less than nothing.
    expect(strongest(l, [0, 1]).layer).toBe(3);
    expect(strongest(l, [0, 1]).part).toBeCloseTo(4 * ln2);
    expect(layerName(0)).toBe('the embedding');
    expect(layerName(3)).toBe('layer 3');
  });

  it('is ahead from a layer on if and only if it is ahead at it and at all after it', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: -2, max: 2 }), { minLength: 1, maxLength: 12 }), (lead) => {
        const from = aheadFrom(lead);
        const holds = (i: number) => lead.slice(i).every((x) => x > 0);
        const first = lead.findIndex((_, i) => holds(i));
        expect(from).toBe(first < 0 ? null : first);
      }),
    );
  });
});
