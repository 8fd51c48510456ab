// The run as a ribbon: an icicle whose length is text and whose width is probability.
// One box per merged segment, in typed arrays, parents before children, siblings side by side, most likely first.

import { NONE, type Run, State } from '../run';
import { cells, nodeCells, PROMPT_CELLS } from './cells';
import type { Segment } from '../segments';
import { isLeftOut, NO_FILTERS, type TreeFilters } from './tree';

/** `explored`: siblings share their parent's extent among themselves; `true`: what was not followed leaves a gap. */
export type Shares = 'explored' | 'true';

/** Length of the hatched box of what was not followed: enough for "not followed 12.3 %". */
export const REST_CELLS = 21;
export { cells, nodeCells, PROMPT_CELLS };

/** Room before and after the text of a box. */
export const PAD_CELLS = 0.5;
/** Room behind a leaf for the sign why it ends. */
const SIGN_CELLS = 2;

export interface RibbonLayout {
  shares: Shares;
  /** The first node of the box that takes the whole extent. */
  zoom: number;
  count: number;
  first: Int32Array;
  last: Int32Array;
  parent: Int32Array;
  level: Int32Array;
  childStart: Int32Array;
  childCount: Int32Array;
  /** Along, in cells: a cell is the width of a character. */
  x0: Float64Array;
  x1: Float64Array;
  /** The greatest x of the box and all that follows it. */
  end: Float64Array;
  /** Across, 0 … 1 of the zoomed box. */
  y0: Float64Array;
  y1: Float64Array;
  /** Share of the parent's extent; 1 for the first box. */
  share: Float64Array;
  /** Of the box's own probability, what was pruned from its first token up to where it branches or ends. */
  pruned: Float64Array;
  /** Of the box's own probability, what nobody has looked at yet. */
  open: Float64Array;
  /** Of the box's own probability, what follows it but is left out, because it is less than was asked for. */
  hidden: Float64Array;
  /** Boxes with those that are left out. */
  total: number;
  /** By node: where its text begins, and its box; NaN and NONE for nodes outside of the zoomed box. */
  nodeX: Float64Array;
  boxOf: Int32Array;
}

/** What is left out of a ribbon. */
export type RibbonFilter = Pick<TreeFilters, 'minMass' | 'minProb'>;

/** The boxes of the segment that starts with node `zoom`, and of all that follows it. */
export function layoutRibbon(
  run: Run,
  all: Segment[],
  zoom: number,
  shares: Shares,
  filter: RibbonFilter = NO_FILTERS,
): RibbonLayout {
  const start = Math.max(
    0,
    all.findIndex((s) => s.first === zoom),
  );
  // Segments come level by level with siblings side by side, and so they do below any one of them.
  const order = [start];
  const filters = { ...NO_FILTERS, ...filter };
  const isHidden = (s: number) => isLeftOut(run, all[s]!.first, filters);
  for (let i = 0; i < order.length; i++) for (const c of all[order[i]!]!.children) if (!isHidden(c)) order.push(c);

  const count = order.length;
  const ints = () => new Int32Array(count);
  const floats = () => new Float64Array(count);
  const l: RibbonLayout = {
    shares,
    zoom: all[start]!.first,
    count,
    first: ints(),
    last: ints(),
    parent: ints(),
    level: ints(),
    childStart: ints(),
    childCount: ints(),
    x0: floats(),
    x1: floats(),
    end: floats(),
    y0: floats(),
    y1: floats(),
    share: floats(),
    pruned: floats(),
    open: floats(),
    hidden: floats(),
    total: subtreeSize(all, start),
    nodeX: new Float64Array(run.size).fill(Number.NaN),
    boxOf: new Int32Array(run.size).fill(NONE),
  };
  l.parent[0] = NONE;
  l.y1[0] = 1;
  l.share[0] = 1;
  let next = 1;
  for (let i = 0; i < count; i++) {
    const s = all[order[i]!]!;
    l.first[i] = s.first;
    l.last[i] = s.last;
    l.childStart[i] = next;
    for (const c of s.children) {
      if (isHidden(c)) {
        l.hidden[i]! += run.probOf(all[c]!.first);
        continue;
      }
      l.first[next] = all[c]!.first;
      l.parent[next] = i;
      l.level[next] = l.level[i]! + 1;
      next++;
    }
    l.childCount[i] = next - l.childStart[i]!;
    along(run, l, i);
    across(run, l, i);
  }
  for (let i = count - 1; i >= 0; i--) {
    const rest = shares === 'true' && l.pruned[i]! + l.open[i]! + l.hidden[i]! > 0 ? REST_CELLS : 0;
    l.end[i] = Math.max(l.end[i]!, l.x1[i]! + (l.childCount[i] === 0 ? Math.max(rest, SIGN_CELLS) : rest));
    const p = l.parent[i]!;
    if (p !== NONE) l.end[p] = Math.max(l.end[p]!, l.end[i]!);
  }
  return l;
}

/** Segments of a subtree. */
function subtreeSize(all: Segment[], start: number): number {
  const size = new Int32Array(all.length).fill(1);
  for (let i = all.length - 1; i > start; i--) size[all[i]!.parent]! += size[i]!;
  return size[start]!;
}

/** Places the tokens of a box one after another. */
function along(run: Run, l: RibbonLayout, i: number): void {
  const p = l.parent[i]!;
  let x = p === NONE ? 0 : l.x1[p]!;
  l.x0[i] = x;
  x += PAD_CELLS;
  for (let n = l.first[i]!; ; n = run.firstChild.get(n)) {
    l.nodeX[n] = x;
    l.boxOf[n] = i;
    x += nodeCells(run, n);
    if (n === l.last[i]) break;
  }
  l.x1[i] = x + PAD_CELLS;
}

/** Divides the extent of a box among its children, and says what is not theirs. */
function across(run: Run, l: RibbonLayout, i: number): void {
  const [from, n] = [l.childStart[i]!, l.childCount[i]!];
  // Not a difference of paths, which have no mass after what a sampler cuts.
  const reached = Math.min(1, Math.exp(run.chainLogprob(l.first[i]!, l.last[i]!)));
  l.hidden[i]! *= reached;
  if (n === 0 && l.hidden[i] === 0) {
    const state = run.state.get(l.last[i]!);
    const lost = state === State.Expanded || state === State.Pruned;
    l.open[i] = lost || state === State.EndToken ? 0 : reached;
    l.pruned[i] = lost ? 1 : 1 - reached;
    return;
  }
  let kept = 0;
  for (let c = from; c < from + n; c++) {
    l.share[c] = reached * run.probOf(l.first[c]!);
    kept += l.share[c]!;
  }
  l.pruned[i] = Math.max(0, 1 - kept - l.hidden[i]!);
  if (n === 0) return;
  if (l.shares === 'explored') {
    // Of a very unlikely box nothing would be left to divide by: among themselves, siblings compare with the first.
    const best = run.logprobOf(l.first[from]!);
    // Where a sampler cuts them all, they are still to be seen.
    const isCut = best === Number.NEGATIVE_INFINITY;
    const ratio = (n: number) =>
      isCut ? run.logprob.get(n) - run.logprob.get(l.first[from]!) : run.logprobOf(n) - best;
    kept = 0;
    for (let c = from; c < from + n; c++) {
      l.share[c] = Math.exp(ratio(l.first[c]!));
      kept += l.share[c]!;
    }
  }
  // Probabilities rounded up may add to more than 1.
  const scale = l.shares === 'explored' ? 1 / kept : 1 / Math.max(1, kept);
  const [top, bottom] = [l.y0[i]!, l.y1[i]!];
  let sum = 0;
  let y = top;
  for (let c = from; c < from + n; c++) {
    l.share[c] = l.share[c]! * scale;
    sum += l.share[c]!;
    l.y0[c] = y;
    y = Math.max(y, Math.min(bottom, top + (bottom - top) * sum));
    l.y1[c] = y;
  }
  if (l.shares === 'explored') l.y1[from + n - 1] = bottom;
}

/** What of a box does not go on to boxes that follow. */
export type RestPart = 'hidden' | 'open' | 'pruned';
export type Part = 'box' | RestPart;

export interface Hit {
  index: number;
  part: Part;
}

interface Rest {
  part: RestPart;
  y0: number;
  y1: number;
  share: number;
}

/** The hatched boxes behind a box, top to bottom; none where siblings fill their parent. */
export function rests(l: RibbonLayout, i: number): Rest[] {
  if (l.shares === 'explored') return [];
  const [y0, y1] = [l.y0[i]!, l.y1[i]!];
  const out: Rest[] = [];
  let bottom = y1;
  for (const part of ['pruned', 'open', 'hidden'] as const) {
    const share = l[part][i]!;
    if (share <= 0) continue;
    const top = Math.max(y0, bottom - (y1 - y0) * share);
    out.unshift({ part, y0: top, y1: bottom, share });
    bottom = top;
  }
  return out;
}

/** What is at a point. Boxes less high than `least` are not told from what follows them. */
export function hit(l: RibbonLayout, x: number, y: number, least = 0): Hit | null {
  if (x < 0 || y < 0 || y >= 1) return null;
  let i = 0;
  for (;;) {
    if (x >= l.end[i]!) return null;
    if (x < l.x1[i]! || l.y1[i]! - l.y0[i]! < least) return { index: i, part: 'box' };
    let [a, b] = [l.childStart[i]!, l.childStart[i]! + l.childCount[i]!];
    const stop = b;
    // The first child that ends below the point.
    while (a < b) {
      const mid = (a + b) >>> 1;
      if (l.y1[mid]! > y) b = mid;
      else a = mid + 1;
    }
    if (a === stop) {
      if (x >= l.x1[i]! + REST_CELLS) return null;
      const rest = rests(l, i).find((r) => y >= r.y0 && y < r.y1);
      return rest ? { index: i, part: rest.part } : null;
    }
    i = a;
  }
}

/** The node of a box whose text is at x. */
export function nodeAt(run: Run, l: RibbonLayout, i: number, x: number): number {
  let n = l.first[i]!;
  while (n !== l.last[i]) {
    const after = run.firstChild.get(n);
    if (l.nodeX[after]! > x) break;
    n = after;
  }
  return n;
}

/** All boxes, each before what follows it. */
export function preorder(l: RibbonLayout): number[] {
  const out: number[] = [];
  const stack = [0];
  while (stack.length > 0) {
    const i = stack.pop()!;
    out.push(i);
    for (let c = l.childStart[i]! + l.childCount[i]! - 1; c >= l.childStart[i]!; c--) stack.push(c);
  }
  return out;
}
