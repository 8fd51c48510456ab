// Why paths end: what each reason is called, and that an end token ends a path before anybody has visited it.

import { describe, expect, test } from 'vitest';
import type { StopReason } from '../src/lib/format';
import { pathRows } from '../src/lib/paths';
import { ROOT, type Run, State } from '../src/lib/run';
import { reason } from '../src/lib/words';
import { restName } from '../src/views/ribbon/words';
import { reasonOf } from '../src/views/tree/words';
import { emptyRun, HEADER } from './empty-run';

const [END] = HEADER.model.end_tokens;

/** A root with a child for each of these tokens, all of the same probability. */
function withChildren(...ids: number[]): Run {
  const run = emptyRun('P');
  run.feed({ type: 'expand', node: ROOT, queue: 1, entropy: 1, varentropy: 1, top: [], children: ids.length });
  for (const id of ids)
    run.feed({
      type: 'node',
      node: run.size,
      parent: ROOT,
      id,
      text: id === END ? '<eos>' : `t${id}`,
      logprob: Math.log(1 / ids.length),
    });
  return run;
}

describe('reasons', () => {
  test.each([
    ['max_depth', State.MaxDepth, 'depth limit', 'stopped at the depth limit', 'depth limit'],
    ['context', State.Context, 'context full', 'stopped: the context is full', 'context full'],
    ['decided', State.Decided, 'decided', 'decided: the answer is known', 'decided'],
    ['pruned', State.Pruned, 'not followed', 'not followed: the strategy left it', null],
  ] as [StopReason, State, string, string, string | null][])('%s', (name, state, word, sentence, rest) => {
    const run = withChildren(5, 6);
    run.feed({ type: 'stop', node: 1, reason: name });
    expect(run.state.get(1)).toBe(state);
    expect(reason(run, 1)).toBe(word);
    expect(reasonOf(run, 1)?.[1]).toBe(sentence);
    if (rest !== null) expect(restName(run, 1, 'open')).toBe(rest);
    // Each of the reasons has a sign of its own.
    expect(reasonOf(run, 1)?.[0]).not.toBe(reasonOf(run, 2)?.[0]);
    expect(pathRows(run).map((r) => r.state)).toEqual([state, State.Open]);
  });

  test('what the context has no room for may still come: its probability is not lost', () => {
    const run = withChildren(5, 6);
    run.feed({ type: 'stop', node: 1, reason: 'context' });
    expect(run.accounting()).toEqual({ finished: 0, frontier: expect.closeTo(1), pruned: expect.closeTo(0) });
  });
});

describe('an end token', () => {
  test('is a finished path as soon as it is in the tree', () => {
    const run = withChildren(5, END!);
    expect([run.state.get(1), run.state.get(2)]).toEqual([State.Open, State.EndToken]);
    expect(reason(run, 2)).toBe('end token');
    expect(run.accounting()).toMatchObject({ finished: expect.closeTo(0.5), frontier: expect.closeTo(0.5) });
    expect(run.pathText(2)).toBe('');
  });

  test.each(['end_token', 'max_depth', 'context', 'pruned'] as const)('stays one when it is visited: %s', (name) => {
    const run = withChildren(5, END!);
    run.feed({ type: 'stop', node: 2, reason: name });
    expect(run.state.get(2)).toBe(State.EndToken);
    expect(() => run.feed({ type: 'stop', node: 2, reason: name })).toThrow('node 2 was already visited');
  });

  test('is gone on from if the strategy does so, and then ends nothing', () => {
    const run = withChildren(5, END!);
    run.feed({ type: 'expand', node: 2, queue: 1, entropy: 1, varentropy: 1, top: [], children: 1 });
    run.feed({ type: 'node', node: 3, parent: 2, id: 7, text: 't7', logprob: 0 });
    expect(run.state.get(2)).toBe(State.Expanded);
    expect(() => run.feed({ type: 'stop', node: 2, reason: 'end_token' })).toThrow('node 2 was already visited');
  });
});
