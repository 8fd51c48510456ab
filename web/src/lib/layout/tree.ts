// Where the boxes of the tree stand: merged runs of tokens, left to right by level, top to bottom by leaves.
//
// Segments are in breadth-first order. So the children of one stand side by side, a level is one stretch of the
// arrays, and within it y only grows: what is visible is found by bisection (see cull.ts).

import { NONE, ROOT, type Run } from '../run';
import { cells, nodeCells } from './cells';

/** World units; one is a CSS pixel at zoom 1. */
export const GAP = 64;
/** Height of a box of one line, and of each line more. */
export const BOX_HEIGHT = 22;
const LINE = 16;
/** Between boxes above each other. */
const SPACE = 6;
/** Height of a leaf's row, for a box of one line. */
export const ROW = BOX_HEIGHT + SPACE;
/** A box is as wide as its text, within these. */
export const LEAST_WIDTH = 44;
export const MOST_WIDTH = 250;
/** Mean width of a cell of text, and what a box has beside its text: edges, and its probability. */
const CELL = 6.7;
const EDGES = 14;
const SHARE = 50;

export interface TreeFilters {
  /** First nodes of segments whose children are not shown. */
  collapsed: ReadonlySet<number>;
  /** First nodes of subtrees that the user took out of the view. */
  pruned: ReadonlySet<number>;
  minMass: number;
  minProb: number;
}

export const NO_FILTERS: TreeFilters = { collapsed: new Set(), pruned: new Set(), minMass: 0, minProb: 0 };

export interface TreeLayout {
  /** Segments that are shown; the arrays below have one entry for each. */
  count: number;
  first: Int32Array;
  last: Int32Array;
  /** Index of the segment before, NONE for the prompt. */
  parent: Int32Array;
  level: Int32Array;
  childStart: Int32Array;
  childCount: Int32Array;
  /** 1: has children, none of which is shown because it is collapsed. */
  collapsed: Uint8Array;
  /** Nodes below the segment's end that are not shown, for whatever reason. */
  hidden: Int32Array;
  /** Their mass. */
  hiddenMass: Float64Array;
  /** Rows that the subtree takes. */
  rows: Int32Array;
  /** Centre of the box. */
  y: Float64Array;
  /** Index of the first segment of each level, and the count at the end. */
  levelStart: Int32Array;
  levels: number;
  /** Left edge of each level's boxes, and where another one would be. */
  levelX: Float64Array;
  /** Width of each box, and its lines: one or two. */
  boxWidth: Float32Array;
  lines: Uint8Array;
  /** The segment of each node of the run, NONE if it is not shown. */
  segmentOf: Int32Array;
  width: number;
  height: number;
  /** Sums of `hidden` and `hiddenMass`. */
  hiddenNodes: number;
  hiddenTotal: number;
}

/** Height of a box. */
export const boxHeightOf = (layout: TreeLayout, i: number): number => BOX_HEIGHT + (layout.lines[i]! - 1) * LINE;

/** Width and lines of the box for a text of so many cells. */
function sizeOf(textCells: number, hasShare: boolean): [width: number, lines: number] {
  const text = textCells * CELL;
  const beside = EDGES + (hasShare ? SHARE : 0);
  if (text + beside <= MOST_WIDTH) return [Math.max(LEAST_WIDTH, text + beside), 1];
  // Two lines, the first of which has the probability beside it; words rarely break in the middle.
  return [Math.min(MOST_WIDTH, Math.max(150, (text * 1.2 + beside) / 2 + EDGES)), 2];
}

/** Cells of a segment's text, as far as they matter to a box. */
function cellsOf(run: Run, first: number, last: number): number {
  const most = (2 * MOST_WIDTH) / CELL;
  if (first === ROOT) return Math.min(most, cells(run.header.prompt.text.slice(0, 100)));
  let sum = 0;
  for (let n = first; sum < most; n = run.firstChild.get(n)) {
    sum += nodeCells(run, n);
    if (n === last) break;
  }
  return sum;
}

/** Whether a subtree is left out. */
export const isLeftOut = (run: Run, n: number, f: TreeFilters): boolean =>
  run.mass(n) < f.minMass || run.probOf(n) < f.minProb || f.pruned.has(n);

/** Nodes of each node's subtree, with itself. */
function subtreeSizes(run: Run): Int32Array {
  const size = new Int32Array(run.size).fill(1);
  for (let n = run.size - 1; n > ROOT; n--) size[run.parent.get(n)]! += size[n]!;
  return size;
}

/** First nodes of all segments, shown or not. */
function countSegments(run: Run): number {
  let count = 1;
  for (let n = 1; n < run.size; n++) {
    const p = run.parent.get(n);
    if (p === ROOT || run.children.get(p) !== 1) count++;
  }
  return count;
}

export function layoutTree(run: Run, filters: TreeFilters): TreeLayout {
  const capacity = countSegments(run);
  const ints = (): Int32Array => new Int32Array(capacity);
  const [first, last, parent, level] = [ints(), ints(), ints(), ints()];
  const [childStart, childCount, hidden, rows] = [ints(), ints(), ints(), ints()];
  const collapsed = new Uint8Array(capacity);
  const hiddenMass = new Float64Array(capacity);
  const y = new Float64Array(capacity);
  const segmentOf = new Int32Array(run.size).fill(NONE);
  const size = subtreeSizes(run);
  const levelStart: number[] = [0];
  let hiddenNodes = 0;
  let hiddenTotal = 0;
  parent[0] = NONE;

  // Down, level by level: which segments there are.
  let count = 1;
  for (let i = 0; i < count; i++) {
    let n = first[i]!;
    segmentOf[n] = i;
    // The prompt stands alone; below it a chain goes on while there is one way.
    if (n !== ROOT) {
      while (run.children.get(n) === 1) {
        n = run.firstChild.get(n);
        segmentOf[n] = i;
      }
    }
    last[i] = n;
    childStart[i] = count;
    const folded = run.firstChild.get(n) !== NONE && filters.collapsed.has(first[i]!);
    collapsed[i] = folded ? 1 : 0;
    for (let c = run.firstChild.get(n); c !== NONE; c = run.nextSibling.get(c)) {
      if (folded || isLeftOut(run, c, filters)) {
        hidden[i]! += size[c]!;
        hiddenMass[i]! += run.mass(c);
        continue;
      }
      const l = level[i]! + 1;
      if (levelStart.length === l) levelStart.push(count);
      first[count] = c;
      parent[count] = i;
      level[count] = l;
      count++;
    }
    childCount[i] = count - childStart[i]!;
    hiddenNodes += hidden[i]!;
    hiddenTotal += hiddenMass[i]!;
  }
  const levels = levelStart.length;
  levelStart.push(count);

  // How large each box is, and so how wide each level.
  const boxWidth = new Float32Array(count);
  const lines = new Uint8Array(count);
  const levelX = new Float64Array(levels + 1);
  for (let l = 0; l < levels; l++) {
    let widest = LEAST_WIDTH;
    for (let i = levelStart[l]!; i < levelStart[l + 1]!; i++) {
      const [w, n] = sizeOf(cellsOf(run, first[i]!, last[i]!), i > 0);
      boxWidth[i] = w;
      lines[i] = n;
      widest = Math.max(widest, w);
    }
    levelX[l + 1] = levelX[l]! + widest + GAP;
  }

  // Up: how many rows and how much height each subtree takes. Down: where. Up: parents between their children.
  const extent = new Float64Array(count);
  const own = (i: number) => BOX_HEIGHT + (lines[i]! - 1) * LINE + SPACE;
  for (let i = count - 1; i >= 0; i--) {
    if (rows[i] === 0) rows[i] = 1;
    extent[i] = Math.max(extent[i]!, own(i));
    if (i === 0) break;
    rows[parent[i]!]! += rows[i]!;
    extent[parent[i]!]! += extent[i]!;
  }
  const top = new Float64Array(count);
  for (let i = 0; i < count; i++) {
    const [from, to] = [childStart[i]!, childStart[i]! + childCount[i]!];
    let inside = 0;
    for (let c = from; c < to; c++) inside += extent[c]!;
    // A box may be higher than all that follows it.
    let at = top[i]! + (extent[i]! - inside) / 2;
    for (let c = from; c < to; c++) {
      top[c] = at;
      at += extent[c]!;
    }
  }
  for (let i = count - 1; i >= 0; i--) {
    const n = childCount[i]!;
    const c = childStart[i]!;
    y[i] = n === 0 ? top[i]! + extent[i]! / 2 : (y[c]! + y[c + n - 1]!) / 2;
  }

  return {
    count,
    first: first.subarray(0, count),
    last: last.subarray(0, count),
    parent: parent.subarray(0, count),
    level: level.subarray(0, count),
    childStart: childStart.subarray(0, count),
    childCount: childCount.subarray(0, count),
    collapsed: collapsed.subarray(0, count),
    hidden: hidden.subarray(0, count),
    hiddenMass: hiddenMass.subarray(0, count),
    rows: rows.subarray(0, count),
    y: y.subarray(0, count),
    levelStart: Int32Array.from(levelStart),
    levels,
    segmentOf,
    levelX,
    boxWidth,
    lines,
    width: levelX[levels]! - GAP,
    height: extent[0]!,
    hiddenNodes,
    hiddenTotal,
  };
}

/** The segment that shows a node, or the nearest one above it that is shown. */
export function segmentAt(layout: TreeLayout, run: Run, n: number): number {
  // A node that came after the layout was made has no entry yet.
  let at = n;
  while (at > ROOT && (at >= layout.segmentOf.length || layout.segmentOf[at] === NONE)) at = run.parent.get(at);
  return at < 0 ? NONE : layout.segmentOf[at]!;
}

/** First nodes to collapse so that only the first place where the text branches is seen. */
export function firstBranching(run: Run): Set<number> {
  const out = new Set<number>();
  const only = run.children.get(ROOT) === 1 ? run.firstChild.get(ROOT) : NONE;
  for (let n = 1; n < run.size; n++) {
    const p = run.parent.get(n);
    if (n !== only && (p === ROOT || run.children.get(p) !== 1)) out.add(n);
  }
  return out;
}

/** Shown segments as they are read: each before its children. */
export function* preorder(layout: TreeLayout): Generator<number> {
  const stack = [0];
  for (let i = stack.pop(); i !== undefined; i = stack.pop()) {
    yield i;
    const c = layout.childStart[i]!;
    for (let k = c + layout.childCount[i]! - 1; k >= c; k--) stack.push(k);
  }
}
