import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  decimate,
  greatest,
  histogram,
  indexAt,
  indexOfNode,
  linePath,
  logTicks,
  MOST_POINTS,
  pathSeries,
  searchSeries,
  stepPath,
  ticks,
  treeSurprisals,
} from '../src/lib/curves';
import { ROOT, type Run } from '../src/lib/run';
import { emptyRun } from './empty-run';

function expand(run: Run, node: number, probabilities: number[], more: object = {}): void {
  const top = probabilities.map((p, id) => ({ id, text: `t${id}`, logprob: Math.log(p) }));
  const children = probabilities.length;
  run.feed({ type: 'expand', node, queue: 3, entropy: Math.LN2, varentropy: 0, top, children, ...more });
  for (const t of top) run.feed({ type: 'node', node: run.size, parent: node, ...t });
}

describe('series', () => {
  it('has bits and ranks of the tokens of a path', () => {
    const run = emptyRun();
    expand(run, ROOT, [0.5, 0.25]);
    expand(run, 2, [0.125]);
    const s = pathSeries(run, run.path(3));
    expect([...s.surprisal].map((b) => Number(b.toFixed(9)))).toEqual([2, 3]);
    expect([...s.rank]).toEqual([2, 1]);
    for (const e of s.entropy) expect(e).toBeCloseTo(1, 6);
    expect([...treeSurprisals(run)].map((b) => Number(b.toFixed(9)))).toEqual([1, 2, 3]);
  });

  it('has thresholds in the order of expansion, without what the user did', () => {
    const run = emptyRun();
    expect(searchSeries(run)).toBeNull();
    expand(run, ROOT, [0.5, 0.25], { threshold: 0.1 });
    expand(run, 2, [0.5], { by: 'user' });
    expand(run, 1, [0.5], { threshold: 0.2 });
    const s = searchSeries(run)!;
    expect([...s.nodes]).toEqual([0, 1]);
    expect(s.threshold[1]).toBeCloseTo(0.2, 6);
    expect([...s.queue]).toEqual([3, 3]);
    expect([-1, 0, 1, 2, 99].map((n) => indexOfNode(s, n))).toEqual([-1, 0, 1, -1, -1]);
  });

  it('is empty for an empty run', () => {
    expect(treeSurprisals(emptyRun()).length).toBe(0);
    expect(pathSeries(emptyRun(), []).surprisal.length).toBe(0);
  });
});

const value = fc.oneof({ weight: 9, arbitrary: fc.double({ min: 0, max: 40, noNaN: true }) }, fc.constant(Number.NaN));

describe('histogram', () => {
  it('counts every known value once', () => {
    fc.assert(
      fc.property(fc.array(value), fc.integer({ min: 1, max: 50 }), (values, bins) => {
        const h = histogram(values, 0.5, bins);
        const known = values.filter((v) => !Number.isNaN(v));
        expect(h.total).toBe(known.length);
        expect(h.counts.reduce((a, b) => a + b, 0)).toBe(known.length);
        for (let b = 0; b < bins - 1; b++)
          expect(h.counts[b]).toBe(known.filter((v) => v >= b * 0.5 && v < (b + 1) * 0.5).length);
      }),
    );
  });

  it('puts rounding below 0 into the first bin, and what is greatest into the last', () => {
    expect([...histogram([-1e-12, 0.4, 100, Number.POSITIVE_INFINITY], 0.5, 3).counts]).toEqual([2, 0, 2]);
  });
});

describe('decimate', () => {
  it('keeps ends, extremes and the order, and no more than asked', () => {
    fc.assert(
      fc.property(
        fc.array(value, { minLength: 1, maxLength: 400 }),
        fc.integer({ min: 8, max: 100 }),
        (values, most) => {
          const kept = decimate(values, most);
          expect(kept.length).toBeLessThanOrEqual(Math.max(most, 2));
          expect(kept[0]).toBe(0);
          expect(kept.at(-1)).toBe(values.length - 1);
          for (let i = 1; i < kept.length; i++) expect(kept[i]).toBeGreaterThan(kept[i - 1]!);
          const known = values.filter((v) => !Number.isNaN(v));
          if (known.length === 0) return;
          const seen = kept.map((i) => values[i]!).filter((v) => !Number.isNaN(v));
          expect(Math.max(...seen)).toBe(Math.max(...known));
          expect(Math.min(...seen)).toBe(Math.min(...known));
        },
      ),
    );
  });

  it('takes 100,000 points', () => {
    const values = Float64Array.from({ length: 100_000 }, (_, i) => Math.sin(i));
    values[77_777] = 9;
    const kept = decimate(values, MOST_POINTS);
    expect(kept.length).toBeLessThanOrEqual(MOST_POINTS);
    expect(kept).toContain(77_777);
  });
});

describe('linePath', () => {
  const same = (x: number) => x;
  it('breaks at what is not known, and makes a lone point a dot', () => {
    expect(linePath([1, 2, Number.NaN, 3, Number.NaN], same, same)).toBe('M0.0 1.0L1.0 2.0M3.0 3.0L3.0 3.0');
    expect(linePath([], same, same)).toBe('');
    expect(linePath([5], same, same)).toBe('M0.0 5.0L0.0 5.0');
  });

  it('never writes NaN', () => {
    fc.assert(fc.property(fc.array(value), (values) => !linePath(values, same, same).includes('NaN')));
  });
});

describe('axes', () => {
  it('has round numbers inside the range', () => {
    expect(ticks(0, 1, 5)).toEqual([0, 0.2, 0.4, 0.6, 0.8, 1]);
    expect(ticks(1, 12, 5, true)).toEqual([5, 10]);
    expect(ticks(3, 3, 5)).toEqual([3]);
    fc.assert(
      fc.property(
        fc.double({ min: 0.001, max: 1e6, noNaN: true }),
        fc.integer({ min: 1, max: 20 }),
        fc.boolean(),
        (hi, most, whole) => {
          const all = ticks(0, hi, most, whole);
          expect(all.length).toBeLessThanOrEqual(most + 1);
          for (const t of all) {
            expect(t).toBeGreaterThanOrEqual(0);
            expect(t).toBeLessThanOrEqual(hi * (1 + 1e-6));
            if (whole) expect(Number.isInteger(t)).toBe(true);
          }
        },
      ),
    );
  });

  it('has powers of ten up to the greatest rank', () => {
    expect(logTicks(1)).toEqual([1, 10]);
    expect(logTicks(10)).toEqual([1, 10]);
    expect(logTicks(250)).toEqual([1, 10, 100, 1000]);
  });

  it('finds the nearest token', () => {
    expect(indexAt(0.5, 0)).toBe(-1);
    expect(indexAt(0.5, 1)).toBe(0);
    expect([0, 0.24, 0.26, 1, 2, -1].map((at) => indexAt(at, 3))).toEqual([0, 0, 1, 2, 2, 0]);
  });

  it('finds the greatest of what is known', () => {
    expect(greatest([1, Number.NaN, 3], 2)).toBe(3);
    expect(greatest([Number.POSITIVE_INFINITY], 2)).toBe(2);
  });

  it('steps along bars', () => {
    expect(
      stepPath(
        [1, 2],
        (x) => x,
        (y) => y,
      ),
    ).toBe('M0.0 0.0L0.0 1.0L1.0 1.0L1.0 2.0L2.0 2.0L2.0 0.0');
  });
});
