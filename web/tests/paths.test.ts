// Answers by a pattern: whatever is tried, in whatever portions, the bounds hold.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { StopReason } from '../src/lib/format';
import { answerIn, answers, isUnsure, MAX_TEXT, pathRows, Search, sorted } from '../src/lib/paths';
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

const all = (search: Search) => {
  search.step(() => false);
  return search;
};

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
        const search = new Search(run, /(yes|no)\b/u);
        search.over(pathRows(run));
        const found = all(search).answers(finished);
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
        const whole = new Search(run, /(yes|no)\b/u);
        whole.over(rows);
        const end = all(whole).answers(finished);
        const slow = new Search(run, /(yes|no)\b/u);
        slow.over(rows);
        while (!slow.done) {
          slow.step(() => true);
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
    let tried = 0;
    const pattern = /\w+/u;
    const exec = pattern.exec.bind(pattern);
    pattern.exec = (text) => {
      tried++;
      return exec(text);
    };
    const search = new Search(run, pattern);
    search.over(pathRows(run));
    all(search);
    expect(tried).toBe(2);
    search.over(pathRows(run));
    all(search);
    expect(tried).toBe(2);
    run.feed({ type: 'stop', node: 2, reason: 'max_depth' });
    search.over(pathRows(run));
    all(search);
    expect(tried).toBe(3);
    expect(search.answers(run.accounting().finished)).toEqual([
      { text: 'yes', paths: 1, lower: expect.closeTo(0.5), upper: expect.closeTo(1) },
    ]);
  });

  test('a text that is too long is certain only where what was left out changes nothing', () => {
    const long = 'a'.repeat(MAX_TEXT + 5);
    expect(answerIn(/^a{3}/u, long)).toBe('aaa');
    expect(isUnsure(/^a{3}/u, long)).toBe(false);
    expect(isUnsure(/^a+/u, long)).toBe(true);
    expect(isUnsure(/b/u, long)).toBe(true);
    expect(isUnsure(/b/u, 'a')).toBe(false);
    const run = leaves([
      [`${long}b`, 0.25, 'end_token'],
      ['b', 0.75, 'end_token'],
    ]);
    const search = new Search(run, /b/u);
    search.over(pathRows(run));
    expect(all(search).answers(1)).toEqual([
      { text: 'b', paths: 1, lower: expect.closeTo(0.75), upper: expect.closeTo(1) },
    ]);
  });

  test('the group is the answer; without one the whole match is', () => {
    expect(answerIn(/is (\w+)/u, 'it is so')).toBe('so');
    expect(answerIn(/is \w+/u, 'it is so')).toBe('is so');
    expect(answerIn(/x/u, 'it is so')).toBe(null);
  });

  test('untried mass widens the upper bound only', () => {
    const row = { leaf: 1, prob: 0.3, perToken: 0.3, length: 1, state: State.EndToken };
    const [a] = answers([{ answer: 'a', row }], 0.8, 0.1);
    expect([a?.lower, a?.upper]).toEqual([expect.closeTo(0.3), expect.closeTo(0.6)]);
  });
});
