// Small things of the page: the clock, fields of the form, pictures, times, and texts that were scored.

import { describe, expect, test } from 'vitest';
import { timeLeft } from '../src/lib/clock';
import { inLabels, namedIn, parameterOf, problemOf } from '../src/lib/parameters';
import { Run } from '../src/lib/run';
import { scoredOf } from '../src/lib/scored';
import { textSvg } from '../src/lib/svg';
import { when } from '../src/lib/when';
import { HEADER } from './empty-run';

describe('the clock', () => {
  const run = (parameters: Record<string, unknown>, limits: Record<string, unknown>) =>
    new Run({ ...HEADER, parameters, limits });
  const pace = { rate: 10, queue: 4, nodes: 100 };
  test('counts to the nearest budget that ends the run', () => {
    expect(timeLeft(run({ max_depth: 20 }, { max_nodes: 2000 }), pace)).toBeCloseTo(8);
    expect(timeLeft(run({ max_depth: 1000 }, { max_nodes: 300 }), pace)).toBeCloseTo(20);
    expect(timeLeft(run({}, { max_nodes: 50 }), pace)).toBe(0);
  });
  test('says nothing without a pace or a budget', () => {
    expect(timeLeft(run({ max_depth: 20 }, {}), { ...pace, rate: 0 })).toBe(null);
    expect(timeLeft(run({}, {}), pace)).toBe(null);
  });
});

describe('fields', () => {
  test('say what is wrong with them', () => {
    const depth = parameterOf('max_depth');
    expect(['12', '2.5', '', 'x', '0'].map((t) => problemOf(depth, t))).toEqual([
      '',
      'a whole number is needed',
      'a number is needed',
      'a number is needed',
      'at least 1',
    ]);
    expect(problemOf(parameterOf('min_branch_threshold'), '1.5')).toBe('at most 1');
  });
  test('are named in the server’s messages as on the page', () => {
    const message = 'min_branch_threshold (0.9) must not be above `max_branch_threshold` (0.2)';
    expect(inLabels(message)).toBe(
      '“Threshold while few paths are open” (0.9) must not be above “Threshold while many paths are open” (0.2)',
    );
    expect(namedIn(message)).toBe('min_branch_threshold');
    expect(namedIn('the model failed')).toBe(undefined);
  });
});

test('a picture of a text is XML, whatever is in the text', () => {
  const evil = '<script>alert(1)</script>&"\0\ud800';
  const svg = textSvg(
    [
      { text: evil, fill: null, ink: '#000', title: '' },
      { text: `${'x'.repeat(200)}\nend`, fill: '#fff', ink: '#000', title: evil },
    ],
    { ground: '#fff', foot: { text: evil, ink: '#000' } },
  );
  expect(svg).not.toContain('<script');
  expect(svg).not.toMatch(/[\0\ud800]/u);
  expect(svg).toContain('&lt;script&gt;');
  expect((svg.match(/<text /g) ?? []).length).toBeGreaterThan(4);
});

test('times of today and yesterday have no date', () => {
  const now = new Date('2026-03-04T12:00:00');
  expect(when('2026-03-04T09:05:00', now)).toBe('09:05');
  expect(when('2026-03-03T09:05:00', now)).toBe('yesterday 09:05');
  expect(when('2025-12-24T18:00:00', now)).toBe('24 Dec 2025');
  expect(when('', now)).toBe('');
});

describe('a scored text', () => {
  test('has the surprisal of each token but the first', () => {
    const answer = {
      choices: [
        {
          logprobs: {
            tokens: ['To', ' be'],
            token_logprobs: [null, -Math.LN2],
            top_logprobs: [null, { ' be': -Math.LN2, ' go': -3 }],
          },
        },
      ],
    };
    const { tokens, bits, scored } = scoredOf(answer, 'To be');
    expect([bits, scored]).toEqual([expect.closeTo(1), 1]);
    expect(tokens[0]!.bits).toBeNaN();
    expect(tokens[1]!.top.map((t) => t.text)).toEqual([' be', ' go']);
  });
  test('has no token that the tokenizer put before it', () => {
    const answer = { choices: [{ logprobs: { tokens: ['<bos>', 'To'], token_logprobs: [null, -1] } }] };
    expect(scoredOf(answer, 'To').tokens.map((t) => t.text)).toEqual(['To']);
  });
  test('that has no logprobs is refused', () => {
    expect(() => scoredOf({ choices: [{}] }, '')).toThrow('no logprobs');
    expect(() => scoredOf(null, '')).toThrow('no logprobs');
  });
});
