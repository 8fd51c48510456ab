// How likely each answer is after each token of a text, as the server finds it: from the last token to the first.

/** Bounds of a probability. */
export interface Between {
  lower: number;
  upper: number;
}

/** What is known after the first tokens of a text. */
export interface Point {
  /** Number of these tokens. */
  tokens: number;
  answers: (Between & { answer: string })[];
  no_answer: Between;
  /** Probability that is not known to belong to any answer. */
  undecided: number;
  /** Why looking ended: `tolerance` if the bounds are as close as they should be. */
  ended_by: string;
}

/** Where a text was decided, and for what; `answer` is null for giving none. */
export interface Decided {
  tokens: number;
  answer: string | null;
}

/** What a curve is of: an answer, or giving none. */
export type Class = string | null;

/** Bounds of a class at a point. An answer that was not seen there may still have all that is undecided. */
export function boundsOf(point: Point, of: Class): Between {
  if (of === null) return point.no_answer;
  return point.answers.find((a) => a.answer === of) ?? { lower: 0, upper: point.undecided };
}

/** The classes that are likely anywhere, the likeliest first, at most so many; giving none comes last, where it is not impossible everywhere. */
export function classesOf(points: readonly Point[], most: number): { shown: Class[]; more: number } {
  const greatest = new Map<string, number>();
  for (const p of points)
    for (const a of p.answers) greatest.set(a.answer, Math.max(a.lower, greatest.get(a.answer) ?? 0));
  const answers = [...greatest].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1)).map(([answer]) => answer);
  const shown: Class[] = answers.slice(0, most);
  if (points.some((p) => p.no_answer.lower > 0.0005)) shown.push(null);
  return { shown, more: Math.max(0, answers.length - most) };
}

/** Bounds of a class after 0, 1, … `length` tokens; NaN where nothing is known yet. */
export function series(
  points: ReadonlyMap<number, Point>,
  length: number,
  of: Class,
): { lower: number[]; upper: number[] } {
  const all = Array.from({ length: length + 1 }, (_, t) => {
    const p = points.get(t);
    return p ? boundsOf(p, of) : { lower: Number.NaN, upper: Number.NaN };
  });
  return { lower: all.map((b) => b.lower), upper: all.map((b) => b.upper) };
}

/** SVG path of the area between two curves, over the stretches where both are known. */
export function bandPath(
  lower: readonly number[],
  upper: readonly number[],
  x: (i: number) => number,
  y: (v: number) => number,
): string {
  const out: string[] = [];
  for (let i = 0; i < lower.length; i++) {
    if (Number.isNaN(lower[i]!)) continue;
    let end = i;
    while (end + 1 < lower.length && !Number.isNaN(lower[end + 1]!)) end++;
    const at = (k: number, of: readonly number[]) => `${x(k).toFixed(1)} ${y(of[k]!).toFixed(1)}`;
    const stretch = Array.from({ length: end - i + 1 }, (_, k) => i + k);
    const there = stretch.map((k) => at(k, upper));
    const back = stretch.reverse().map((k) => at(k, lower));
    out.push(`M${[...there, ...back].join('L')}Z`);
    i = end;
  }
  return out.join('');
}

/** How an answer is written by whom it was asked: the server gives choices in small letters. */
export function spelled(answer: string, choices: readonly string[]): string {
  const bare = (text: string) =>
    text
      .replace(/^[^\p{L}\p{N}]+/u, '')
      .replace(/\s+/g, ' ')
      .toLowerCase();
  return choices.find((c) => bare(c) === answer) ?? answer;
}
