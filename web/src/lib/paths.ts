// Completions as a table, and answers by a pattern with bounds of their probability.

import { type Run, State } from './run';

export interface PathRow {
  leaf: number;
  prob: number;
  /** Geometric mean of the tokens' probabilities. */
  perToken: number;
  length: number;
  state: State;
}

export const SORTS = ['prob', 'perToken', 'length'] as const;
export type Sort = (typeof SORTS)[number];

/** All leaves. */
export function pathRows(run: Run): PathRow[] {
  const out: PathRow[] = [];
  for (let n = 1; n < run.size; n++) {
    const state = run.state.get(n) as State;
    if (state === State.Expanded) continue;
    const length = run.depth.get(n);
    const logprob = run.pathLogprob.get(n);
    out.push({ leaf: n, prob: Math.exp(logprob), perToken: Math.exp(logprob / length), length, state });
  }
  return out;
}

export function sorted(rows: PathRow[], by: Sort, rising: boolean): PathRow[] {
  const sign = rising ? 1 : -1;
  return [...rows].sort((a, b) => sign * (a[by] - b[by]) || a.leaf - b.leaf);
}

export interface Answer {
  text: string;
  /** Finished paths with this answer. */
  paths: number;
  lower: number;
  upper: number;
}

/** Longest text a pattern is tried on. */
export const MAX_TEXT = 5000;

/** What a pattern finds in a text: its first group, or all of the match. */
export function answerIn(pattern: RegExp, text: string): string | null {
  const found = pattern.exec(text.slice(0, MAX_TEXT));
  return found ? (found[1] ?? found[0]) : null;
}

/** Answers of finished paths, most likely first. What is not finished may still become any answer. */
export function answers(found: { answer: string | null; row: PathRow }[], finished: number): Answer[] {
  const by = new Map<string, Answer>();
  for (const { answer, row } of found) {
    if (answer === null || row.state !== State.EndToken) continue;
    const known = by.get(answer) ?? { text: answer, paths: 0, lower: 0, upper: 0 };
    known.paths++;
    known.lower += row.prob;
    by.set(answer, known);
  }
  const open = Math.max(0, 1 - finished);
  return [...by.values()]
    .map((a) => ({ ...a, upper: Math.min(1, a.lower + open) }))
    .sort((a, b) => b.lower - a.lower || (a.text < b.text ? -1 : 1));
}
