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

export const SORTS = ['prob', 'perToken', 'length', 'state'] as const;
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

/** Whether a text was too long for the pattern to be certain: what was left out may hold a match, or lengthen it. */
export function isUnsure(pattern: RegExp, text: string): boolean {
  if (text.length <= MAX_TEXT) return false;
  const found = pattern.exec(text.slice(0, MAX_TEXT));
  return !found || found.index + found[0].length >= MAX_TEXT;
}

/**
 * Answers of finished paths, most likely first. What is not finished may still become any answer, and so may finished
 * paths that the pattern was not tried on, whose mass is `untried`.
 */
export function answers(found: { answer: string | null; row: PathRow }[], finished: number, untried = 0): Answer[] {
  const by = new Map<string, Answer>();
  for (const { answer, row } of found) {
    if (answer === null || row.state !== State.EndToken) continue;
    const known = by.get(answer) ?? { text: answer, paths: 0, lower: 0, upper: 0 };
    known.paths++;
    known.lower += row.prob;
    by.set(answer, known);
  }
  const open = Math.max(0, 1 - finished + untried);
  return [...by.values()]
    .map((a) => ({ ...a, upper: Math.min(1, a.lower + open) }))
    .sort((a, b) => b.lower - a.lower || (a.text < b.text ? -1 : 1));
}

interface Tried {
  state: State;
  answer: string | null;
  unsure: boolean;
}

/** A pattern tried on many paths, a little at a time. What was found is kept while the run grows. */
export class Search {
  /** Rows the pattern fits, in the order of the rows given. */
  rows: PathRow[] = [];
  private found: { answer: string; row: PathRow }[] = [];
  private readonly known = new Map<number, Tried>();
  private all: PathRow[] = [];
  private at = 0;
  /** Mass of finished paths that nothing certain is known about. */
  private untried = 0;

  constructor(
    private readonly run: Run,
    private readonly pattern: RegExp,
  ) {}

  /** Starts over with other rows; paths that were tried before are not tried again. */
  over(rows: PathRow[]): void {
    this.all = rows;
    this.at = 0;
    this.rows = [];
    this.found = [];
    this.untried = rows.reduce((sum, r) => (r.state === State.EndToken ? sum + r.prob : sum), 0);
  }

  get tried(): number {
    return this.at;
  }

  get done(): boolean {
    return this.at >= this.all.length;
  }

  /** Goes on until all is tried or `enough`, which is asked after each path that is new. */
  step(enough: () => boolean): void {
    while (this.at < this.all.length) {
      const row = this.all[this.at++]!;
      let t = this.known.get(row.leaf);
      // A path that has ended since reads differently: its end token is no text.
      const isNew = t?.state !== row.state;
      if (t === undefined || isNew) {
        const text = this.run.pathText(row.leaf);
        t = { state: row.state, answer: answerIn(this.pattern, text), unsure: isUnsure(this.pattern, text) };
        this.known.set(row.leaf, t);
      }
      if (t.answer !== null) {
        this.rows.push(row);
        if (!t.unsure) this.found.push({ answer: t.answer, row });
      }
      if (!t.unsure && row.state === State.EndToken) this.untried -= row.prob;
      if (isNew && enough()) return;
    }
  }

  answers(finished: number): Answer[] {
    return answers(this.found, finished, Math.max(0, this.untried));
  }
}
