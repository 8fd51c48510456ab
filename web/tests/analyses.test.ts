// Outline, paths, sampler and pieces against cases worked out by hand.

import { describe, expect, test } from 'vitest';
import type { RunEvent } from '../src/lib/format';
import { rowOf, rows } from '../src/lib/outline';
import { pathRows, Search, sorted } from '../src/lib/paths';
import { tryPattern } from '../src/lib/pattern';
import { PART, pieces } from '../src/lib/pieces';
import type { Run } from '../src/lib/run';
import { PLAIN, reweigh } from '../src/lib/sampler';
import { emptyRun } from './empty-run';

const expand = (node: number, children: number, by?: 'user'): RunEvent => ({
  type: 'expand',
  node,
  queue: 1,
  entropy: 1,
  varentropy: 1,
  top: [],
  children,
  ...(by ? { by } : {}),
});
const child = (
  node: number,
  parent: number,
  id: number,
  prob: number,
  text = `t${id}`,
  bytes?: number[],
): RunEvent => ({
  type: 'node',
  node,
  parent,
  id,
  text,
  logprob: Math.log(prob),
  ...(bytes ? { bytes } : {}),
});

/** P → a(0.5) → b(1) → ⏹(0.8), c(0.2); P → d(0.25), open. */
function sample(): Run {
  const run = emptyRun('P');
  for (const e of [
    expand(0, 2),
    child(1, 0, 1, 0.5, 'a'),
    child(2, 0, 4, 0.25, 'd'),
    expand(1, 1),
    child(3, 1, 2, 1, 'b'),
    expand(3, 2),
    child(4, 3, 0, 0.8, '<eos>'),
    child(5, 3, 3, 0.2, 'c'),
    { type: 'stop', node: 4, reason: 'end_token' } as RunEvent,
  ])
    run.feed(e);
  return run;
}

const all = { minMass: 0, minProb: 0, closed: new Set<number>() };

describe('outline', () => {
  test('merges chains, ends branchings with what is left, closes and filters', () => {
    const run = sample();
    const shape = (list: ReturnType<typeof rows>) =>
      list.map((r) =>
        r.kind === 'other'
          ? `${r.level} other ${r.rests.map((x) => x.prob.toFixed(2)).join(' ')}`
          : `${r.level} ${r.segment.first}-${r.segment.last}`,
      );
    expect(shape(rows(run, all))).toEqual([
      '0 0-0',
      '1 1-3',
      '2 4-4',
      '2 5-5',
      '2 other 0.00',
      '1 2-2',
      '1 other 0.25',
    ]);
    expect(shape(rows(run, { ...all, closed: new Set([1]) }))).toEqual(['0 0-0', '1 1-3', '1 2-2', '1 other 0.25']);
    expect(shape(rows(run, { ...all, minMass: 0.3 }))).toEqual(['0 0-0', '1 1-3', '2 4-4', '2 other 0.00 0.25']);
  });

  test('finds the row of a node inside a chain, and the closed row above a hidden one', () => {
    const run = sample();
    expect(rowOf(run, rows(run, all), 3)).toBe(1);
    expect(rowOf(run, rows(run, { ...all, closed: new Set([1]) }), 5)).toBe(1);
  });

  test('a chain of 100,000 tokens is one row', () => {
    const run = emptyRun('P');
    for (let n = 0; n < 100_000; n++) {
      run.feed(expand(n, 1));
      run.feed(child(n + 1, n, 5, 0.9));
    }
    expect(rows(run, all).map((r) => r.kind)).toEqual(['segment', 'segment', 'other']);
  });
});

describe('paths', () => {
  test('rows, order and per-token average', () => {
    const list = sorted(pathRows(sample()), 'prob', false);
    expect(list.map((r) => r.leaf)).toEqual([4, 2, 5]);
    expect(list[0]?.prob).toBeCloseTo(0.4);
    expect(list[0]?.perToken).toBeCloseTo(0.4 ** (1 / 3));
  });

  test('paths count as soon as their text decides; the rest may be any answer', () => {
    const run = sample();
    const list = pathRows(run);
    const search = new Search(run);
    search.over(list);
    for (const row of list) search.take(row, tryPattern(/(ab|d)/u, run.pathText(row.leaf)));
    expect(search.answers()).toEqual([{ text: 'ab', paths: 2, lower: expect.closeTo(0.5), upper: expect.closeTo(1) }]);
  });
});

describe('sampler', () => {
  const list = [0.5, 0.3, 0.2].map(Math.log);
  test('changes nothing by itself', () => {
    expect(reweigh(list, PLAIN)).toEqual({
      probs: [0.5, 0.3, 0.2].map((p) => expect.closeTo(p)),
      beyond: [],
      other: expect.closeTo(0),
      exact: true,
    });
  });
  test('temperature, top-k, top-p and min-p, by hand', () => {
    expect(reweigh(list, { ...PLAIN, temperature: 0.5 }).probs[0]).toBeCloseTo(0.25 / 0.38);
    expect(reweigh(list, { ...PLAIN, topK: 2 }).probs).toEqual([expect.closeTo(0.625), expect.closeTo(0.375), 0]);
    expect(reweigh(list, { ...PLAIN, topP: 0.6 }).probs).toEqual([expect.closeTo(0.625), expect.closeTo(0.375), 0]);
    expect(reweigh(list, { ...PLAIN, minP: 0.5 }).probs).toEqual([expect.closeTo(0.625), expect.closeTo(0.375), 0]);
  });
  test('a list that is too short is said to be', () => {
    const short = [0.5, 0.2].map(Math.log);
    expect(reweigh(short, { ...PLAIN, topP: 0.9 }).exact).toBe(false);
    expect(reweigh(short, { ...PLAIN, topK: 1 })).toEqual({ probs: [1, 0], beyond: [], other: 0, exact: true });
    expect(reweigh(short, PLAIN).other).toBeCloseTo(0.3);
  });
});

describe('by hand', () => {
  test('a node the user expanded is taken over by the strategy, which adds to it', () => {
    const run = sample();
    run.feed(expand(2, 1, 'user'));
    run.feed({ ...child(6, 2, 7, 0.1), by: 'user' } as RunEvent);
    expect(run.byUser.get(6)).toBe(1);
    run.feed({ ...expand(2, 1), adopts: [{ node: 6 }] } as RunEvent);
    run.feed(child(7, 2, 8, 0.6));
    expect(run.byUser.get(6)).toBe(0);
    expect([...run.childrenOf(2)]).toEqual([7, 6]);
    expect(() => run.feed(expand(2, 1))).toThrow('already visited');
    const m = run.accounting();
    expect(m.finished + m.frontier + m.pruned).toBeCloseTo(1);
  });
});

test('a character split over tokens is whole at its last token', () => {
  const run = emptyRun('P');
  run.feed(expand(0, 1));
  run.feed(child(1, 0, 6, 1, '\ufffd', [0xe2, 0x82]));
  run.feed(expand(1, 1));
  run.feed(child(2, 1, 7, 1, '\ufffd', [0xac]));
  expect(pieces(run, [1, 2], false).map((p) => p.text)).toEqual([PART, '€']);
  expect(run.pathText(2)).toBe('€');
});
