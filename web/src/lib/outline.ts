// Rows of the outline: one for each merged run of single-child nodes, in reading order.

import { NONE, ROOT, type Run } from './run';
import { type Segment, segments } from './segments';

/** What went to no child of the segment that ends with the node `after`. */
export interface Rest {
  after: number;
  prob: number;
}

export type Row =
  | { kind: 'segment'; segment: Segment; level: number; open: boolean; hasChildren: boolean }
  /** Where several levels end at one place, what each left is told in one row: the innermost first. */
  | { kind: 'other'; level: number; rests: Rest[] };

export interface Filter {
  minMass: number;
  minProb: number;
  /** First nodes of segments that are closed. */
  closed: ReadonlySet<number>;
}

/** Rows from the top to the bottom of the outline. */
export function rows(run: Run, filter: Filter): Row[] {
  const all = segments(run);
  const isShown = (s: Segment) =>
    s.first === ROOT || (run.mass(s.first) >= filter.minMass && run.probOf(s.first) >= filter.minProb);
  const out: Row[] = [];
  // A tree may be deeper than a stack of calls.
  const stack: (number | { other: Segment; prob: number })[] = [0];
  while (stack.length > 0) {
    const item = stack.pop()!;
    if (typeof item === 'object') {
      const rest = { after: item.other.last, prob: item.prob };
      const above = out.at(-1);
      if (above?.kind === 'other') above.rests.push(rest);
      else out.push({ kind: 'other', level: item.other.level + 1, rests: [rest] });
      continue;
    }
    const s = all[item]!;
    if (!isShown(s)) continue;
    const hasChildren = s.children.length > 0;
    const open = hasChildren && !filter.closed.has(s.first);
    out.push({ kind: 'segment', segment: s, level: s.level, open, hasChildren });
    if (!open) continue;
    const kept = s.children.reduce((sum, c) => sum + run.probOf(all[c]!.first), 0);
    if (s.children.length > 1 || s.first === ROOT) stack.push({ other: s, prob: Math.max(0, 1 - kept) });
    for (const c of [...s.children].reverse()) stack.push(c);
  }
  return out;
}

/** Text of a segment's beginning: a merged run may be thousands of tokens long, and a row shows one line. */
export function beginning(run: Run, s: Segment, length: number): string {
  if (s.first === ROOT) return run.header.prompt.text.slice(0, length);
  const tokens: number[] = [];
  for (let n = s.first; n !== NONE && tokens.length < length; n = run.firstChild.get(n)) {
    tokens.push(run.token.get(n));
    if (n === s.last) break;
  }
  return run.textOf(tokens).slice(0, length);
}

/** What makes a row the same row in a later list. Nodes are not negative, so the two kinds never meet. */
const keyOf = (r: Row): number => (r.kind === 'segment' ? r.segment.first : -1 - r.rests[0]!.after);

/** By how many rows the row at `top` (or the next one that is still there) moved from one list to a later one. */
export function shift(before: Row[], after: Row[], top: number): number {
  if (before === after) return 0;
  const at = new Map<number, number>();
  after.forEach((r, i) => {
    at.set(keyOf(r), i);
  });
  for (let i = Math.max(0, top); i < before.length; i++) {
    const now = at.get(keyOf(before[i]!));
    if (now !== undefined) return now - i;
  }
  return 0;
}

/** The row that holds a node, or the closed one above it. */
export function rowOf(run: Run, list: Row[], node: number): number {
  const at = new Map<number, number>();
  list.forEach((r, i) => {
    if (r.kind === 'segment') at.set(r.segment.first, i);
  });
  for (let n = node; n !== NONE; n = run.parent.get(n)) {
    const row = at.get(n);
    if (row !== undefined) return row;
  }
  return 0;
}
