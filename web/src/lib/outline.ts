// Rows of the outline: one for each merged run of single-child nodes, in reading order.

import { NONE, ROOT, type Run } from './run';
import { type Segment, segments } from './segments';

export type Row =
  | { kind: 'segment'; segment: Segment; level: number; open: boolean; hasChildren: boolean }
  /** What went to no child of the segment above. */
  | { kind: 'other'; after: number; level: number; prob: number };

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
    s.first === ROOT || (run.mass(s.first) >= filter.minMass && Math.exp(run.logprob.get(s.first)) >= filter.minProb);
  const out: Row[] = [];
  // A tree may be deeper than a stack of calls.
  const stack: (number | { other: Segment; prob: number })[] = [0];
  while (stack.length > 0) {
    const item = stack.pop()!;
    if (typeof item === 'object') {
      out.push({ kind: 'other', after: item.other.last, level: item.other.level + 1, prob: item.prob });
      continue;
    }
    const s = all[item]!;
    if (!isShown(s)) continue;
    const hasChildren = s.children.length > 0;
    const open = hasChildren && !filter.closed.has(s.first);
    out.push({ kind: 'segment', segment: s, level: s.level, open, hasChildren });
    if (!open) continue;
    const kept = s.children.reduce((sum, c) => sum + Math.exp(run.logprob.get(all[c]!.first)), 0);
    if (s.children.length > 1 || s.first === ROOT) stack.push({ other: s, prob: Math.max(0, 1 - kept) });
    for (const c of [...s.children].reverse()) stack.push(c);
  }
  return out;
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
