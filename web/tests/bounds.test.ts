// What lists of a remote engine leave open.

import { expect, test } from 'vitest';
import type { RunEvent } from '../src/lib/format';
import { emptyRun } from './empty-run';

const expand = (
  node: number,
  probs: number[],
  children: number,
  threshold?: number,
  exactness?: 'exact' | 'lower_bound' | 'retokenized',
): RunEvent => ({
  type: 'expand',
  node,
  queue: 1,
  entropy: 1,
  varentropy: 1,
  top: probs.map((p, id) => ({ id, text: `t${id}`, logprob: Math.log(p) })),
  children,
  ...(threshold === undefined ? {} : { threshold }),
  ...(exactness ? { exactness } : {}),
});

const more = (event: RunEvent): number => {
  const run = emptyRun();
  run.feed(event);
  expect(run.more.get(0)).toBe(run.moreCount);
  return run.moreCount;
};

test('a list that ends above the threshold hides branches, and no other', () => {
  // The last listed is 0.2, the rest 0.3: an unlisted token may have up to 0.2.
  expect(more(expand(0, [0.3, 0.2], 2, 0.1, 'lower_bound'))).toBe(1);
  expect(more(expand(0, [0.3, 0.2], 1, 0.2, 'lower_bound'))).toBe(0);
  expect(more(expand(0, [0.3, 0.2], 2, 0.1))).toBe(0);
  // The rest has 0.05.
  expect(more(expand(0, [0.75, 0.2], 2, 0.1, 'lower_bound'))).toBe(0);
  // A rule kept one of the two above the threshold.
  expect(more(expand(0, [0.3, 0.2], 1, 0.1, 'lower_bound'))).toBe(0);
  // Without a threshold any unlisted token would have been a branch.
  expect(more(expand(0, [0.3, 0.2], 2, undefined, 'retokenized'))).toBe(1);
  expect(more(expand(0, [0.3, 0.2], 1, undefined, 'lower_bound'))).toBe(0);
});

test('a path that was read as other tokens has bounds', () => {
  const run = emptyRun();
  run.feed(expand(0, [0.5], 0, 0.1, 'retokenized'));
  expect(run.bound.get(0)).toBe(1);
});
