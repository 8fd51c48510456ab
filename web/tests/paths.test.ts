// Answers by a pattern: whatever is tried, in whatever portions, the bounds hold.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { StopReason } from '../src/lib/format';
import { answers, type PathRow, pathRows, Search, sorted } from '../src/lib/paths';
import { MAX_TEXT, tryPattern } from '../src/lib/pattern';
import { type Run, State } from '../src/lib/run';
import { emptyRun } from './empty-run';

type Leaf = [text: string, prob: number, stop: StopReason | null];

/** One token after the prompt for each leaf; finished ones have an end token after it. */
function leaves(list: Leaf[]): Run {
  const run = emptyRun('P');
  const step = (node: number, children: number) =>
    run.feed({ type: 'expand', node, queue: 1, entropy: 1, varentropy: 1, top: [], children });
  step(0, list.length);
  list.forEach(([text, prob], i) => {
    run.feed({ type: 'node', node: i + 1, parent: 0, id: i + 1, text, logprob: Math.log(prob) });
  });
  list.forEach(([, , stop], i) => {
    if (stop === 'end_token') {
      const n = run.size;
      step(i + 1, 1);
      run.feed({ type: 'node', node: n, parent: i + 1, id: 0, text: '</s>', logprob: 0 });
      run.feed({ type: 'stop', node: n, reason: stop });
    } else if (stop) run.feed({ type: 'stop', node: i + 1, reason: stop });
  });
  return run;
}

/** Tries the pattern on the next path; false when none is left. */
function step(search: Search, run: Run, pattern: RegExp): boolean {
  const [row] = search.untried();
  if (row) search.take(row, tryPattern(pattern, run.pathText(row.leaf)));
  return row !== undefined;
}

function searched(run: Run, pattern: RegExp, rows: PathRow[]): Search {
  const search = new Search();
  search.over(rows);
  while (step(search, run, pattern));
  expect(search.done).toBe(true);
  return search;
}

const some = fc
  .array(
    fc.tuple(
      fc.constantFrom('yes', 'no', 'yes and no', 'neither'),
      fc.integer({ min: 1, max: 100 }),
      fc.constantFrom<StopReason | null>('end_token', 'max_depth', 'pruned', 'decided', null),
    ),
    { minLength: 1, maxLength: 20 },
  )
  .map((list) => {
    const sum = list.reduce((s, [, w]) => s + w, 0) * 1.1;
    return list.map(([text, w, stop]): Leaf => [text, w / sum, stop]);
  });

describe('paths', () => {
  test('lower bounds add up to no more than what is finished; the upper adds all that is not', () => {
    fc.assert(
      fc.property(some, (list) => {
        const run = leaves(list);
        const { finished, frontier, pruned } = run.accounting();
        const found = searched(run, /(yes|no)\b/u, pathRows(run)).answers(finished);
        expect(found.reduce((s, a) => s + a.lower, 0)).toBeLessThanOrEqual(finished + 1e-9);
        for (const a of found) expect(a.upper).toBeCloseTo(Math.min(1, a.lower + frontier + pruned), 8);
        for (const a of found) {
          const truth = list.filter(([text, , stop]) => stop === 'end_token' && text.startsWith(a.text));
          expect(a.lower).toBeCloseTo(
            truth.reduce((s, [, p]) => s + p, 0),
            8,
          );
        }
      }),
    );
  });

  test('at every moment of a search the bounds hold what the whole search finds', () => {
    fc.assert(
      fc.property(some, (list) => {
        const run = leaves(list);
        const { finished } = run.accounting();
        const rows = sorted(pathRows(run), 'prob', false);
        const whole = searched(run, /(yes|no)\b/u, rows);
        const end = whole.answers(finished);
        const slow = new Search();
        slow.over(rows);
        while (step(slow, run, /(yes|no)\b/u)) {
          for (const a of slow.answers(finished)) {
            const truth = end.find((b) => b.text === a.text)!;
            expect(a.lower).toBeLessThanOrEqual(truth.lower + 1e-9);
            expect(a.upper).toBeGreaterThanOrEqual(truth.upper - 1e-9);
          }
        }
        expect(slow.answers(finished)).toEqual(end);
        expect(slow.rows).toEqual(whole.rows);
      }),
    );
  });

  test('starting over tries only what is new, and a path that has ended since is read again', () => {
    const run = leaves([
      ['yes', 0.5, 'end_token'],
      ['no', 0.4, null],
    ]);
    const pattern = /\w+/u;
    const untried = () => [...search.untried()].map((r) => r.leaf);
    const search = searched(run, pattern, pathRows(run));
    search.over(pathRows(run));
    expect(untried()).toEqual([]);
    run.feed({ type: 'stop', node: 2, reason: 'max_depth' });
    search.over(pathRows(run));
    expect(untried()).toEqual([2]);
    step(search, run, pattern);
    expect(search.answers(run.accounting().finished)).toEqual([
      { text: 'yes', paths: 1, lower: expect.closeTo(0.5), upper: expect.closeTo(1) },
    ]);
  });

  test('a text that is too long is certain only where what was left out changes nothing', () => {
    const long = 'a'.repeat(MAX_TEXT + 5);
    expect(tryPattern(/^a{3}/u, long)).toEqual({ answer: 'aaa', unsure: false });
    expect(tryPattern(/^a+/u, long).unsure).toBe(true);
    expect(tryPattern(/b/u, long)).toEqual({ answer: null, unsure: true });
    expect(tryPattern(/b/u, 'a').unsure).toBe(false);
    const run = leaves([
      [`${long}b`, 0.25, 'end_token'],
      ['b', 0.75, 'end_token'],
    ]);
    expect(searched(run, /b/u, pathRows(run)).answers(1)).toEqual([
      { text: 'b', paths: 1, lower: expect.closeTo(0.75), upper: expect.closeTo(1) },
    ]);
  });

  test('the group is the answer; without one the whole match is', () => {
    expect(tryPattern(/is (\w+)/u, 'it is so').answer).toBe('so');
    expect(tryPattern(/is \w+/u, 'it is so').answer).toBe('is so');
    expect(tryPattern(/x/u, 'it is so').answer).toBe(null);
  });

  test('untried mass widens the upper bound only', () => {
    const row = { leaf: 1, prob: 0.3, perToken: 0.3, length: 1, state: State.EndToken };
    const [a] = answers([{ answer: 'a', row }], 0.8, 0.1);
    expect([a?.lower, a?.upper]).toEqual([expect.closeTo(0.3), expect.closeTo(0.6)]);
  });
});
