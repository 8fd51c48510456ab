// Answers by a pattern: whatever is tried, in whatever portions, the bounds hold.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { StopReason } from '../src/lib/format';
import { answers, type PathRow, pathRows, Search, sorted } from '../src/lib/paths';
import { MAX_TEXT, patternOfChoices, span, tryPattern } from '../src/lib/pattern';
import type { Run } from '../src/lib/run';
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
  const search = new Search(run);
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
  test('a path counts once its text decides, and the upper bound adds all that has not decided', () => {
    fc.assert(
      fc.property(some, (list) => {
        const run = leaves(list);
        const search = searched(run, /(yes|no)\b/u, pathRows(run));
        // "yes and no" has decided for yes whatever follows; "yes" may still become "yesterday", unless it has ended.
        const decides = ([text, , stop]: Leaf) => stop === 'end_token' || text === 'yes and no';
        const decided = list.filter(decides).reduce((s, [, p]) => s + p, 0);
        expect(search.decided).toBeCloseTo(decided, 8);
        for (const a of search.answers()) {
          const truth = list.filter((l) => decides(l) && l[0].startsWith(a.text)).reduce((s, [, p]) => s + p, 0);
          expect(a.lower).toBeCloseTo(truth, 8);
          expect(a.upper).toBeCloseTo(Math.min(1, truth + 1 - decided), 8);
        }
      }),
    );
  });

  test('at every moment of a search the bounds hold what the whole search finds', () => {
    fc.assert(
      fc.property(some, (list) => {
        const run = leaves(list);
        const rows = sorted(pathRows(run), 'prob', false);
        const whole = searched(run, /(yes|no)\b/u, rows);
        const end = whole.answers();
        const slow = new Search(run);
        slow.over(rows);
        while (step(slow, run, /(yes|no)\b/u)) {
          for (const a of slow.answers()) {
            const truth = end.find((b) => b.text === a.text)!;
            expect(a.lower).toBeLessThanOrEqual(truth.lower + 1e-9);
            expect(a.upper).toBeGreaterThanOrEqual(truth.upper - 1e-9);
          }
        }
        expect(slow.answers()).toEqual(end);
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
    expect(search.answers()).toEqual([{ text: 'yes', paths: 1, lower: expect.closeTo(0.5), upper: expect.closeTo(1) }]);
  });

  test('a text that is too long is certain only where what was left out changes nothing', () => {
    const long = 'a'.repeat(MAX_TEXT + 5);
    expect(tryPattern(/^a{3}/u, long)).toEqual({ answer: 'aaa', unsure: false, settledAt: Number.POSITIVE_INFINITY });
    expect(tryPattern(/^a+/u, long).unsure).toBe(true);
    expect(tryPattern(/b/u, long)).toEqual({ answer: null, unsure: true, settledAt: Number.POSITIVE_INFINITY });
    expect(tryPattern(/b/u, 'a').unsure).toBe(false);
    const run = leaves([
      [`${long}b`, 0.25, 'end_token'],
      ['b', 0.75, 'end_token'],
    ]);
    expect(searched(run, /b/u, pathRows(run)).answers()).toEqual([
      { text: 'b', paths: 1, lower: expect.closeTo(0.75), upper: expect.closeTo(1) },
    ]);
  });

  test('the group is the answer; without one the whole match is', () => {
    expect(tryPattern(/is (\w+)/u, 'it is so').answer).toBe('so');
    expect(tryPattern(/is \w+/u, 'it is so').answer).toBe('is so');
    expect(tryPattern(/x/u, 'it is so').answer).toBe(null);
  });

  test('what has not decided widens the upper bound only', () => {
    const [a] = answers([
      { answer: 'a', prob: 0.3 },
      { answer: null, prob: 0.2 },
    ]);
    expect([a?.lower, a?.upper]).toEqual([expect.closeTo(0.3), expect.closeTo(0.8)]);
  });

  test('a match is as long as its pattern allows, and what can go on for ever never settles', () => {
    expect(span('(Delhi|Mumbai)')).toBe(6);
    expect(span('a(?:b|cd)?[xyz]\\.')).toBe(6);
    for (const endless of ['a+', 'a.*z|b', 'a{2,}', '(a)\\1']) expect(span(endless)).toBe(Number.POSITIVE_INFINITY);
    expect(tryPattern(/a.*z|b/u, 'a b and much more text').settledAt).toBe(Number.POSITIVE_INFINITY);
    expect(tryPattern(/yes(?! but)/u, 'yes bu').settledAt).toBe(Number.POSITIVE_INFINITY);
    // Whatever settles is found again with any text behind it.
    const texts = fc.string({ unit: fc.constantFrom('a', 'b', 'c', ' '), maxLength: 12 });
    const patterns = fc.constantFrom('(ab|ba)', 'abc|b', 'a(?!b)', '(?<=a)b', '[ab]c\\b', 'b$|ca', '(a|ab)(c|bcd)?');
    fc.assert(
      fc.property(patterns, texts, texts, (source, text, more) => {
        const pattern = new RegExp(source, 'u');
        const now = tryPattern(pattern, text);
        if (!Number.isFinite(now.settledAt)) return;
        // Also with any other text behind the place where it settles.
        for (const begun of [text, text.slice(0, now.settledAt)])
          expect(tryPattern(pattern, begun + more).answer).toBe(now.answer);
      }),
      { numRuns: 2000 },
    );
  });

  test('what was not followed after an answer has that answer: the node where it is decided counts with all of its probability', () => {
    const run = emptyRun('P');
    const grow = (node: number, children: [string, number][]) => {
      run.feed({ type: 'expand', node, queue: 1, entropy: 1, varentropy: 1, top: [], children: children.length });
      for (const [text, p] of children)
        run.feed({ type: 'node', node: run.size, parent: node, id: run.size, text, logprob: Math.log(p) });
    };
    grow(0, [
      [' yes', 0.6],
      [' no', 0.3],
    ]);
    grow(1, [[', it', 0.5]]);
    grow(3, [
      [' is', 0.25],
      [' was', 0.25],
    ]);
    const search = searched(run, new RegExp(patternOfChoices('yes, no'), 'u'), pathRows(run));
    // Two paths of 0.6 × 0.5 × 0.25 each are known, but after “ yes, it” it is yes whatever comes; “ no” may still become “ now”.
    expect(search.answers()).toEqual([{ text: 'yes', paths: 2, lower: expect.closeTo(0.3), upper: expect.closeTo(1) }]);
    expect(search.decided).toBeCloseTo(0.3);
  });

  test('choices are words: the longest first, none inside another', () => {
    const pattern = new RegExp(patternOfChoices('New, New Delhi, C++, Delhi,'), 'u');
    const answer = (text: string) => tryPattern(pattern, text).answer;
    expect(answer('it is New Delhi, not')).toBe('New Delhi');
    expect(answer('it is Newer than Delhi')).toBe('Delhi');
    expect(answer('in C++ it')).toBe('C++');
    expect(answer('Delhis')).toBe(null);
    expect(answer('in new delhi, so')).toBe('new delhi');
    expect(
      answers(
        [
          { answer: 'Yes', prob: 0.5 },
          { answer: 'yes', prob: 0.25 },
        ],
        true,
      ),
    ).toEqual([{ text: 'Yes', paths: 2, lower: 0.75, upper: 1 }]);
    expect(patternOfChoices(' , ')).toBe('');
  });
});
