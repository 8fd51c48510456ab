import { describe, expect, it } from 'vitest';
import { divergencesOf, summary } from '../src/lib/divergence';

describe('divergences', () => {
  it('are in bits, and infinite where the server has no number', () => {
    const all = divergencesOf([
      { kl_ab: Math.LN2, kl_ba: null, js: Math.LN2 },
      { kl_ab: 0, kl_ba: 0, js: 0 },
    ]);
    expect(all[0]).toEqual({ klAB: 1, klBA: Number.POSITIVE_INFINITY, js: 1 });
    expect(summary(all)).toEqual({ mean: { klAB: 0.5, klBA: Number.POSITIVE_INFINITY, js: 0.5 }, furthest: 0 });
    expect(summary([])).toBe(null);
  });

  it('are furthest apart at the first of several equal places', () => {
    const all = divergencesOf([0.1, 0.4, 0.4, 0.2].map((js) => ({ kl_ab: js, kl_ba: js, js })));
    expect(summary(all)?.furthest).toBe(1);
  });
});
