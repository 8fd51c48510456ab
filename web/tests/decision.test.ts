import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bandPath, boundsOf, classesOf, type Point, series, spelled } from '../src/lib/decision';
import { patternOfChoices, serversPatternOfChoices } from '../src/lib/pattern';

const point = (tokens: number, answers: Record<string, number>, none: number): Point => {
  const undecided = 1 - none - Object.values(answers).reduce((a, b) => a + b, 0);
  return {
    tokens,
    answers: Object.entries(answers).map(([answer, lower]) => ({ answer, lower, upper: lower + undecided })),
    no_answer: { lower: none, upper: none + undecided },
    undecided,
    ended_by: 'tolerance',
  };
};

describe('decision curves', () => {
  it('has bounds of answers that were not seen: they may have all that is undecided', () => {
    const p = point(0, { yes: 0.5 }, 0.25);
    expect(boundsOf(p, 'yes')).toMatchObject({ lower: 0.5, upper: 0.75 });
    expect(boundsOf(p, 'no')).toEqual({ lower: 0, upper: 0.25 });
    expect(boundsOf(p, null)).toEqual({ lower: 0.25, upper: 0.5 });
  });

  it('shows the answers that are likely anywhere, and tells of the others', () => {
    const points = [point(0, { a: 0.1, b: 0.3, c: 0.2 }, 0), point(1, { a: 0.6, c: 0.1 }, 0)];
    expect(classesOf(points, 2)).toEqual({ shown: ['a', 'b'], more: 1 });
    expect(classesOf([...points, point(2, {}, 0.5)], 9)).toEqual({ shown: ['a', 'b', 'c', null], more: 0 });
    expect(classesOf([], 3)).toEqual({ shown: [], more: 0 });
  });

  it('is a gap where nothing is known yet', () => {
    const known = new Map([2, 3].map((t) => [t, point(t, { yes: t / 4 }, 0.25)]));
    const s = series(known, 3, 'yes');
    expect(s.lower).toEqual([Number.NaN, Number.NaN, 0.5, 0.75]);
    expect(s.upper).toEqual([Number.NaN, Number.NaN, 0.75, 0.75]);
    expect(
      bandPath(
        s.lower,
        s.upper,
        (i) => i * 10,
        (v) => v * 100,
      ),
    ).toBe('M20.0 75.0L30.0 75.0L30.0 75.0L20.0 50.0Z');
    expect(
      bandPath(
        [1, Number.NaN, 0],
        [1, Number.NaN, 1],
        (i) => i,
        (v) => v,
      ),
    ).toBe('M0.0 1.0L0.0 1.0ZM2.0 1.0L2.0 0.0Z');
  });

  it('names answers as they were asked for', () => {
    expect(spelled('new delhi', ['New  Delhi', 'Delhi'])).toBe('New  Delhi');
    expect(spelled('mumbai', ['Delhi'])).toBe('mumbai');
  });
});

describe('the pattern for the server', () => {
  it('finds the same first choice as the one of the page', () => {
    const list = 'yes, no, New Delhi, New, Ö';
    const own = new RegExp(patternOfChoices(list), 'u');
    const theirs = new RegExp(serversPatternOfChoices(list).replace('(?i)', ''), 'iu');
    const word = fc.constantFrom('yes', 'NO', 'know', 'New', 'Delhi', 'new delhi', 'ö', 'yesö', '.', ' ', '-', '7');
    fc.assert(
      fc.property(fc.array(word, { maxLength: 8 }), (words) => {
        const text = words.join('');
        expect(theirs.exec(text)?.[1]?.toLowerCase()).toBe(own.exec(text)?.[1]?.toLowerCase());
      }),
    );
  });

  it('takes signs as they are, and nothing from an empty list', () => {
    expect(serversPatternOfChoices('a+b, c')).toBe('(?i)(?:^|[^\\p{L}\\p{N}_])(a\\+b|c)(?:[^\\p{L}\\p{N}_]|$)');
    expect(serversPatternOfChoices('+, -1')).toBe('(?i)(\\-1|\\+)'.replace('\\-', '-'));
    expect(serversPatternOfChoices(' , ')).toBe('');
  });
});
