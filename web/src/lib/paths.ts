// Completions as a table, and answers by a pattern with bounds of their probability.

import type { Tried } from './pattern';
import { NONE, type Run, State } from './run';

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
  /** Probability that this path adds: none if another one has brought that of the node where it decides. */
  prob: number;
}

/**
 * Answers of the paths that have decided, most likely first. Each is at least as probable as its paths are, and at most that and
 * all that has not decided: what is still open or was not followed, and what was not tried yet. `fold`: small and capital letters are alike.
 */
export function answers(found: Found[], fold = false): Answer[] {
  const by = new Map<string, Answer>();
  let decided = 0;
  for (const { answer, prob } of found) {
    decided += prob;
    if (answer === null) continue;
    const key = fold ? answer.toLowerCase() : answer;
    const known = by.get(key) ?? { text: answer, paths: 0, lower: 0, upper: 0 };
    known.paths++;
    known.lower += prob;
    by.set(key, known);
  }
  const open = Math.max(0, 1 - decided);
  return [...by.values()]
    .map((a) => ({ ...a, upper: Math.min(1, a.lower + open) }))
    .sort((a, b) => b.lower - a.lower || (a.text < b.text ? -1 : 1));
}

/**
 * The node of a path with whose token its text decides, or NONE. Whatever follows that node has the same answer, also what was not followed:
 * all of the node's probability is decided.
 */
function decidingNode(run: Run, row: PathRow, t: Tried): number {
  if (t.unsure) return NONE;
  if (!Number.isFinite(t.settledAt)) return row.state === State.EndToken ? row.leaf : NONE;
  const path = run.path(row.leaf);
  let [a, b] = [0, path.length - 1];
  while (a < b) {
    const mid = (a + b) >>> 1;
    if (run.pathText(path[mid]!).length >= t.settledAt) b = mid;
    else a = mid + 1;
  }
  return path[a] ?? row.leaf;
}

/** What is found as a pattern is tried on many paths. It is kept while the run grows. */
export class Search {
  /** Rows the pattern fits, in the order of the rows given. */
  rows: PathRow[] = [];
  private found: Found[] = [];
  private readonly known = new Map<number, Tried & { state: State }>();
  private all: PathRow[] = [];
  private at = 0;
  /** Nodes whose probability has been counted. */
  private counted = new Set<number>();

  constructor(private readonly run: Run) {}

  /** Starts over with other rows; paths that were tried before need not be tried again. */
  over(rows: PathRow[]): void {
    this.all = rows;
    this.at = 0;
    this.rows = [];
    this.found = [];
    this.counted = new Set();
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

  answers(fold = false): Answer[] {
    return answers(this.found, fold);
  }

  /** Probability of the paths that have decided, for an answer or for none. */
  get decided(): number {
    return this.found.reduce((sum, f) => sum + f.prob, 0);
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
      const node = decidingNode(this.run, row, t);
      if (node === NONE) continue;
      this.found.push({ answer: t.answer, prob: this.counted.has(node) ? 0 : this.run.mass(node) });
      this.counted.add(node);
    }
  }
}
