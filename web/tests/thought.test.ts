// The same cases as the program's tests read.

import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { afterPrompt, inThought, isThought, read } from '../src/lib/thought';
import { ROOT } from '../src/lib/run';
import { emptyRun } from './empty-run';

interface Case {
  prompt: string;
  tokens: string[];
  thought: boolean[];
}

test('thoughts are what stands between the marks', () => {
  const cases: Case[] = JSON.parse(readFileSync(new URL('../../fixtures/thoughts.json', import.meta.url), 'utf8'));
  expect(cases.length).toBeGreaterThan(7);
  for (const { prompt, tokens, thought } of cases) {
    let at = afterPrompt(prompt);
    const found = tokens.map((token) => {
      const next = read(at, token);
      const is = isThought(at, next);
      at = next;
      return is;
    });
    expect(found, JSON.stringify([prompt, tokens])).toEqual(thought);
  }
});

test('branches of a tree think and answer for themselves', () => {
  const run = emptyRun('<think>');
  const expand = (node: number, children: number) =>
    run.feed({ type: 'expand', node, queue: 1, entropy: 1, varentropy: 1, top: [], children });
  const add = (parent: number, id: number, text: string) =>
    run.feed({ type: 'node', node: run.size, parent, id, text, logprob: Math.log(0.5) });
  expand(ROOT, 2);
  add(ROOT, 1, 'Hm');
  add(ROOT, 2, '</think>');
  expect([0, 1, 2].map((n) => inThought(run, n))).toEqual([false, true, true]);
  // What comes later is read from where it branches.
  expand(1, 1);
  add(1, 3, 'so');
  expand(2, 1);
  add(2, 4, 'Yes');
  expect([3, 4].map((n) => inThought(run, n))).toEqual([true, false]);
});
