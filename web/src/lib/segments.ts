// Runs of single-child nodes, merged: what the outline, the tree and the ribbon draw.

import { NONE, ROOT, type Run, State } from './run';

/** A chain of nodes from `first` to `last`, each the only child of the one before. */
export interface Segment {
  first: number;
  last: number;
  parent: number;
  /** Segments that follow, most likely first. */
  children: number[];
  /** Segments above this one. */
  level: number;
}

/** All segments below the root, parents before children; the first is the root's own (the prompt, with what must follow). */
export function segments(run: Run): Segment[] {
  const out: Segment[] = [{ first: ROOT, last: ROOT, parent: NONE, children: [], level: 0 }];
  for (let i = 0; i < out.length; i++) {
    const s = out[i]!;
    let n = s.last;
    // The prompt stands alone; below it a chain goes on while there is one way.
    if (n !== ROOT) while (run.children.get(n) === 1) n = run.firstChild.get(n);
    s.last = n;
    for (let c = run.firstChild.get(n); c !== NONE; c = run.nextSibling.get(c)) {
      s.children.push(out.length);
      out.push({ first: c, last: c, parent: i, children: [], level: s.level + 1 });
    }
  }
  return out;
}

/** Number of tokens of a segment. */
export const tokenCount = (run: Run, s: Segment): number =>
  run.depth.get(s.last) - run.depth.get(s.first) + (s.first === ROOT ? 0 : 1);

/** The nodes of a segment, first to last; none for the prompt's own. */
export function nodesOf(run: Run, s: Segment): number[] {
  const out: number[] = [];
  for (let n = s.last; n > ROOT; n = run.parent.get(n)) {
    out.push(n);
    if (n === s.first) break;
  }
  return out.reverse();
}

/** Text of a segment; an end token at its end shows its name. */
export const segmentText = (run: Run, s: Segment): string =>
  s.first === ROOT ? run.header.prompt.text : run.textOf(nodesOf(run, s).map((n) => run.token.get(n)));

/** Why a segment ends. */
export const isLeaf = (run: Run, s: Segment): boolean => run.state.get(s.last) !== State.Expanded;
