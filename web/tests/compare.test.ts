// Two runs side by side: where they part, and bounds of how far their steps lie apart.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { apart, compare, difference, pairs } from '../src/lib/compare';
import { NONE, type Run } from '../src/lib/run';
import { emptyRun } from './empty-run';

type Step = [text: string, prob: number][];

/** Each step lists these tokens; the first `children` of it become children, and the first one goes on. */
function chain(steps: Step[], children = 1): Run {
  const run = emptyRun('P');
  const ids = new Map<string, number>();
  const id = (text: string) => ids.get(text) ?? (ids.set(text, ids.size + 10), ids.get(text)!);
  let at = 0;
  for (const step of steps) {
    const top = step.map(([text, p]) => ({ id: id(text), text, logprob: Math.log(p) }));
    const kept = top.slice(0, children);
    run.feed({ type: 'expand', node: at, queue: 1, entropy: 1, varentropy: 1, top, children: kept.length });
    const first = run.size;
    for (const t of kept) run.feed({ type: 'node', node: run.size, parent: at, ...t });
    at = first;
  }
  return run;
}

describe('two runs', () => {
  test('are compared by text, whatever the ids: where they part, and what B thinks of A’s tokens', () => {
    const a = chain([[[' the', 0.5]], [[' cat', 0.25]], [[' sat', 0.5]]]);
    const b = chain([
      [
        [' a', 0.5],
        [' the', 0.25],
      ],
      [[' dog', 1]],
    ]);
    const { places, shared, otherB } = compare(a, 3, b, 2);
    expect(shared).toBe(0);
    expect(places.map((p) => [p.bitsA, p.bitsB])).toEqual([
      [expect.closeTo(1), expect.closeTo(2)],
      // B has the token in its list, but never went on from it.
      [expect.closeTo(2), Number.NaN],
      [expect.closeTo(1), Number.NaN],
    ]);
    expect(places.map((p) => p.b)).toEqual([NONE, NONE, NONE]);
    expect(otherB).toEqual([1, 2]);
    expect(difference(places)).toEqual({ bits: expect.closeTo(1), tokens: 1 });
  });

  test('of one run are two branches; a run beside itself is the same', () => {
    const run = chain(
      [
        [
          ['x', 0.5],
          ['y', 0.25],
        ],
        [['z', 0.5]],
      ],
      2,
    );
    const same = compare(run, 3, run, 3);
    expect(same.shared).toBe(2);
    expect(difference(same.places).bits).toBe(0);
    expect(compare(run, 2, run, 3).shared).toBe(0);
  });

  test('the share by which steps differ is a lower bound, however their lists are cut', () => {
    const distribution = fc
      .array(fc.integer({ min: 1, max: 50 }), { minLength: 6, maxLength: 6 })
      .map((w) => w.map((x) => x / w.reduce((s, y) => s + y, 0)));
    fc.assert(
      fc.property(distribution, distribution, fc.nat(6), fc.nat(6), (p, q, keepP, keepQ) => {
        const step = (d: number[], keep: number): Step =>
          d
            .map((x, i): [string, number] => [`t${i}`, x])
            .sort((x, y) => y[1] - x[1])
            .slice(0, Math.max(1, keep));
        const truth = p.reduce((sum, x, i) => sum + Math.abs(x - q[i]!), 0) / 2;
        const list = pairs(chain([step(p, keepP)]), 0, chain([step(q, keepQ)]), 0);
        expect(apart(list)).toBeLessThanOrEqual(truth + 1e-9);
        const whole = pairs(chain([step(p, 6)]), 0, chain([step(q, 6)]), 0);
        expect(apart(whole)).toBeCloseTo(truth, 9);
      }),
    );
  });
});
