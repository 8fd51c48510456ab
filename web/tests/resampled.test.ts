// All nodes of a run under a sampler, against cases worked out by hand and what must always hold.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { RunEvent, TopToken } from '../src/lib/format';
import { layoutRibbon } from '../src/lib/layout/ribbon';
import { perplexity } from '../src/lib/metrics';
import { rows } from '../src/lib/outline';
import { Resampled } from '../src/lib/resampled';
import { ROOT, type Run, State } from '../src/lib/run';
import { PLAIN, type Sampler } from '../src/lib/sampler';
import { segments } from '../src/lib/segments';
import { chance, mass, reason } from '../src/lib/words';
import { emptyRun } from './empty-run';

type Child = [id: number, prob: number];

const token = ([id, prob]: Child): TopToken => ({ id, text: `t${id}`, logprob: Math.log(prob) });

function expand(run: Run, node: number, top: Child[], children: Child[], by?: 'user'): void {
  const expand: RunEvent = {
    type: 'expand',
    node,
    queue: 1,
    entropy: 1,
    varentropy: 1,
    top: top.map(token),
    children: children.length,
    ...(by ? { by } : {}),
  };
  run.feed(expand);
  for (const c of children) run.feed({ type: 'node', node: run.size, parent: node, ...token(c) });
}

/** P → a 0.5, b 0.3, c 0.2 (all there is); a → d 0.8 of a list that lacks 0.1, and e 0.05 beyond it. */
function sample(): Run {
  const run = emptyRun('P');
  const all: Child[] = [
    [1, 0.5],
    [2, 0.3],
    [3, 0.2],
  ];
  expand(run, ROOT, all, all);
  const list: Child[] = [
    [4, 0.8],
    [5, 0.1],
  ];
  expand(run, 1, list, [
    [4, 0.8],
    [6, 0.05],
  ]);
  return run;
}

function under(run: Run, s: Partial<Sampler>): Run {
  run.reweigh(new Resampled(run, { ...PLAIN, ...s }));
  return run;
}

const probs = (run: Run) => Array.from({ length: run.size - 1 }, (_, i) => run.probOf(i + 1));
const close = (list: number[]) => list.map((x) => expect.closeTo(x, 9));

describe('a run under a sampler', () => {
  test('temperature, by hand: squares where it is 0.5, and what follows from a list that is too short', () => {
    const run = under(sample(), { temperature: 0.5 });
    const [a, b, c] = [0.25 / 0.38, 0.09 / 0.38, 0.04 / 0.38];
    // What is neither listed nor in the tree, 0.05, counts as a half of a token like the last listed one.
    const sum = 0.64 + 0.01 + 0.0025 + 0.005;
    expect(probs(run)).toEqual(close([a, b, c, 0.64 / sum, 0.0025 / sum]));
    expect(run.mass(4)).toBeCloseTo((a * 0.64) / sum, 9);
    expect([1, 2, 3, 4, 5].map((n) => run.isRough(n))).toEqual([false, false, false, true, true]);
    expect(chance(run, 4)).toBe('≈ 97.3 %');
    expect(mass(run, 1)).toBe('65.8 %');
    expect(new Resampled(run, { ...PLAIN, temperature: 0.5 }).summary()).toEqual({ cut: 0, rough: true });
  });

  test('top-k, by hand: what is cut has no mass, nor has what follows it, and the rest has more', () => {
    const run = under(sample(), { topK: 1 });
    expect(probs(run)).toEqual(close([1, 0, 0, 1, 0]));
    expect([1, 2, 3, 4, 5].map((n) => run.isCut(n))).toEqual([false, true, true, false, true]);
    expect(reason(run, 2)).toBe('cut');
    expect(perplexity(run, ROOT, 2)).toBe(Number.POSITIVE_INFINITY);
    expect(new Resampled(run, { ...PLAIN, topK: 1 }).summary()).toEqual({ cut: 3, rough: false });
    const account = run.accounting();
    expect([account.finished, account.frontier, account.pruned]).toEqual(close([0, 1, 0]));
  });

  test('cut branches stay in the outline and in the ribbon', () => {
    const run = under(sample(), { minP: 0.5 });
    const list = rows(run, { minMass: 0, minProb: 0, closed: new Set() });
    expect(list.filter((r) => r.kind === 'segment').map((r) => r.segment.first)).toEqual([0, 1, 4, 5, 2, 3]);
    const cut = under(sample(), { topK: 1 });
    expand(
      cut,
      2,
      [
        [7, 0.6],
        [8, 0.3],
      ],
      [
        [8, 0.3],
        [9, 0.05],
      ],
    );
    for (const shares of ['explored', 'true'] as const) {
      const l = layoutRibbon(cut, segments(cut), 2, shares);
      const heights = [1, 2].map((i) => l.y1[i]! - l.y0[i]!);
      // Where all branches are cut, they stand as the model has them.
      expect(heights).toEqual(close(shares === 'explored' ? [6 / 7, 1 / 7] : [0, 0]));
    }
  });

  test('a step without a list is about what its children say', () => {
    const run = emptyRun('P');
    expand(
      run,
      ROOT,
      [],
      [
        [1, 0.5],
        [2, 0.25],
      ],
    );
    under(run, { topK: 1 });
    expect(probs(run)).toEqual(close([1, 0]));
    expect(run.isRough(1)).toBe(true);
  });
});

const sampler = fc.record({
  temperature: fc.constantFrom(0.1, 0.5, 1, 1.7),
  topK: fc.constantFrom(0, 1, 2, 5, 50),
  topP: fc.constantFrom(1, 0.9, 0.3),
  minP: fc.constantFrom(0, 0.1, 0.7),
});

interface Step {
  at: number;
  weights: number[];
  listed: number;
  kept: number;
}

const step: fc.Arbitrary<Step> = fc.record({
  at: fc.nat(1000),
  weights: fc.array(fc.integer({ min: 1, max: 1000 }), { minLength: 1, maxLength: 8 }),
  listed: fc.nat(8),
  kept: fc.integer({ min: 0, max: 255 }),
});

/** Steps of whole vocabularies, of which a part is listed, and a part, listed or not, is in the tree. */
function feed(run: Run, { at, weights, listed, kept }: Step): void {
  const node = at % run.size;
  if (run.state.get(node) === State.Expanded) return;
  const sum = weights.reduce((a, b) => a + b, 0);
  const all = [...weights].sort((a, b) => b - a).map((w, i): Child => [i, w / sum]);
  expand(
    run,
    node,
    all.slice(0, listed),
    all.filter((_, i) => (kept >> i) & 1),
  );
}

describe('whatever the run', () => {
  test('a plain sampler changes nothing', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const run = emptyRun('P');
        for (const s of steps) feed(run, s);
        const resampled = new Resampled(run, PLAIN);
        for (let n = 0; n < run.size; n++) {
          expect(resampled.logprobOf(n)).toBeCloseTo(run.logprob.get(n), 8);
          expect(resampled.pathLogprobOf(n)).toBeCloseTo(run.pathLogprob.get(n), 8);
        }
      }),
    );
  });

  test('children and what is left add up to 1, paths are products, and growth in pieces is growth at once', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), sampler, (steps, s) => {
        const run = emptyRun('P');
        const slow = new Resampled(run, s);
        for (const one of steps) {
          feed(run, one);
          slow.summary();
        }
        const once = new Resampled(run, s);
        expect(slow.summary()).toEqual(once.summary());
        run.reweigh(once);
        for (let n = 0; n < run.size; n++) {
          expect(slow.logprobOf(n)).toBe(once.logprobOf(n));
          expect(slow.pathLogprobOf(n)).toBe(once.pathLogprobOf(n));
          const kept = [...run.childrenOf(n)].reduce((sum, c) => sum + run.probOf(c), 0);
          expect(kept).toBeLessThanOrEqual(1 + 1e-9);
          if (n > ROOT) expect(run.mass(n)).toBeCloseTo(run.mass(run.parent.get(n)) * run.probOf(n), 9);
        }
        const { finished, frontier, pruned } = run.accounting();
        expect(finished + frontier + pruned).toBeCloseTo(1, 9);
      }),
    );
  });

  test('a child that the user adds later counts as if it had been there', () => {
    const run = sample();
    const slow = new Resampled(run, { ...PLAIN, temperature: 0.7 });
    slow.summary();
    run.feed({ type: 'node', node: run.size, parent: 1, ...token([7, 0.02]), by: 'user' });
    slow.summary();
    const once = new Resampled(run, { ...PLAIN, temperature: 0.7 });
    for (let n = 0; n < run.size; n++) expect(slow.logprobOf(n)).toBe(once.logprobOf(n));
  });
});
