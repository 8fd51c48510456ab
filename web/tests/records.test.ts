import { describe, expect, test } from 'vitest';
import { candidates, compare, meanEntropy, ordered, pages, shown } from '../src/views/records/numbers';

describe('what is shown of records', () => {
  const step = (token: string, logprob: number, other: [string, number][] = []) => ({
    token,
    logprob,
    prob: 0,
    other_tokens: other.map(([t, l]) => ({ token: t, logprob: l, prob: 0 })),
  });
  const cardOf = (tokens: number) => ({
    line: 1,
    record: { prompt: '', response: '', data: new Array(tokens).fill(step('a', -1)) },
  });

  test('a page has at most 20 cards and 1,500 tokens, but at least one card', () => {
    expect(pages([])).toEqual([]);
    expect(pages(Array.from({ length: 45 }, () => cardOf(2)))).toEqual([0, 20, 40]);
    expect(pages([cardOf(20_000), cardOf(1), cardOf(1499), cardOf(1)])).toEqual([0, 1, 3]);
  });

  test('responses with tokens are compared, in any order, equal ones by line', () => {
    const bad = { line: 2, error: 'not JSON', start: '' };
    const cards = [3, 1, 0, 3].map((n, i) => ({ ...cardOf(n), line: 2 * i + 1 }));
    const rows = compare([cards[0]!, bad, ...cards.slice(1)]);
    expect(rows.map((r) => [r.line, r.tokens])).toEqual([
      [1, 3],
      [3, 1],
      [7, 3],
    ]);
    expect(rows[0]).toMatchObject({ bits: expect.closeTo(3 / Math.LN2), perplexity: expect.closeTo(Math.E) });
    expect(ordered(rows, 'tokens', false).map((r) => r.line)).toEqual([1, 7, 3]);
    expect(ordered(rows, 'bits', true).map((r) => r.line)).toEqual([3, 1, 7]);
  });

  test('the chosen token is in the list once, and what is left is the others', () => {
    const half = Math.log(0.5);
    const listed = candidates(
      step('a', half, [
        ['b', Math.log(0.25)],
        ['a', half],
        ['a', Math.log(0.1)],
      ]),
    );
    expect(listed.rows.map((r) => [r.token, r.chosen])).toEqual([
      ['a', true],
      ['b', false],
      ['a', false],
    ]);
    expect(listed.other).toBeCloseTo(0.15);
    const absent = candidates(step('a', Math.log(0.125), [['b', half]]));
    expect(absent.rows.map((r) => [r.token, r.chosen])).toEqual([
      ['b', false],
      ['a', true],
    ]);
    expect(absent.other).toBeCloseTo(0.375);
    expect(meanEntropy({ prompt: '', response: '', data: [step('a', half, [['b', half]])] })).toBeCloseTo(1);
    expect(shown('\n\t')).toBe('⏎\n⇥\t');
  });
});
