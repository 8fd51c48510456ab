// Completions as a table, and answers by a pattern with bounds of their probability.

import type { Tried } from './pattern';
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
    const logprob = run.pathLogprobOf(n);
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
  /** Paths whose text has decided for it. */
  paths: number;
  lower: number;
  upper: number;
}

/** Probability that is decided: what follows can no longer change the answer, or that there is none. */
export interface Found {
  answer: string | null;
  row: PathRow;
}

/**
 * Answers of the paths that have decided, most likely first. Each is at least as probable as its paths are, and at most that and
 * all that has not decided: what is still open or was not followed, and what was not tried yet.
 */
export function answers(found: Found[]): Answer[] {
  const by = new Map<string, Answer>();
  let decided = 0;
  for (const { answer, row } of found) {
    decided += row.prob;
    if (answer === null) continue;
    const known = by.get(answer) ?? { text: answer, paths: 0, lower: 0, upper: 0 };
    known.paths++;
    known.lower += row.prob;
    by.set(answer, known);
  }
  const open = Math.max(0, 1 - decided);
  return [...by.values()]
    .map((a) => ({ ...a, upper: Math.min(1, a.lower + open) }))
    .sort((a, b) => b.lower - a.lower || (a.text < b.text ? -1 : 1));
}

/** Whether a path's text decides: a finished path does, any other one if no text that follows could change the answer. */
const decides = (row: PathRow, t: Tried): boolean => !t.unsure && (row.state === State.EndToken || t.settled);

/** What is found as a pattern is tried on many paths. It is kept while the run grows. */
export class Search {
  /** Rows the pattern fits, in the order of the rows given. */
  rows: PathRow[] = [];
  private found: Found[] = [];
  private readonly known = new Map<number, Tried & { state: State }>();
  private all: PathRow[] = [];
  private at = 0;

  /** Starts over with other rows; paths that were tried before need not be tried again. */
  over(rows: PathRow[]): void {
    this.all = rows;
    this.at = 0;
    this.rows = [];
    this.found = [];
    this.settle();
  }

  get tried(): number {
    return this.at;
  }

  get done(): boolean {
    return this.at >= this.all.length;
  }

  /** Paths that are still to be tried, in the order of the rows. */
  *untried(): Generator<PathRow> {
    for (let i = this.at; i < this.all.length; i++) if (!this.knows(this.all[i]!)) yield this.all[i]!;
  }

  /** What the pattern found in a path's text. */
  take(row: PathRow, tried: Tried): void {
    this.known.set(row.leaf, { ...tried, state: row.state });
    this.settle();
  }

  answers(): Answer[] {
    return answers(this.found);
  }

  /** Probability of the paths that have decided, for an answer or for none. */
  get decided(): number {
    return this.found.reduce((sum, f) => sum + f.row.prob, 0);
  }

  /** A path that has ended since reads differently: its end token is no text. */
  private knows(row: PathRow): boolean {
    return this.known.get(row.leaf)?.state === row.state;
  }

  private settle(): void {
    for (; !this.done && this.knows(this.all[this.at]!); this.at++) {
      const row = this.all[this.at]!;
      const t = this.known.get(row.leaf)!;
      if (t.answer !== null) this.rows.push(row);
      if (decides(row, t)) this.found.push({ answer: t.answer, row });
    }
  }
}
