// What of a tree layout is inside a window, and what of that falls on the same pixels.

import { NONE } from '../run';
import type { TreeLayout } from './tree';

/** Indices from `lo` up to, not including, `hi`. */
export interface Range {
  lo: number;
  hi: number;
}

/** The first index in `lo … hi` for which a condition holds that stays true from there on. */
export function firstWhere(lo: number, hi: number, holds: (i: number) => boolean): number {
  let [a, b] = [lo, hi];
  while (a < b) {
    const mid = (a + b) >>> 1;
    if (holds(mid)) b = mid;
    else a = mid + 1;
  }
  return a;
}

/** The level of an x: its boxes, or the gap right of them; below 0 or beyond the last where there is none. */
export function levelAt(layout: TreeLayout, x: number): number {
  if (x < 0) return -1;
  return firstWhere(0, layout.levels, (l) => layout.levelX[l + 1]! > x);
}

/** Levels with something between two x. */
export function levelsBetween(layout: TreeLayout, left: number, right: number): Range {
  const lo = Math.max(0, levelAt(layout, left));
  return { lo, hi: Math.max(lo, Math.min(layout.levels, levelAt(layout, right) + 1)) };
}

/** Segments of a level whose centre is between two y. */
export function boxesBetween(layout: TreeLayout, level: number, top: number, bottom: number): Range {
  const { y, levelStart } = layout;
  const end = levelStart[level + 1]!;
  const lo = firstWhere(levelStart[level]!, end, (i) => y[i]! >= top);
  return { lo, hi: firstWhere(lo, end, (i) => y[i]! > bottom) };
}

/**
 * Segments of a level (below the first) whose link to the parent has a part between two y. Links of a level do not
 * cross, so both their upper and their lower ends only grow, and the visible ones are one stretch.
 */
export function linksBetween(layout: TreeLayout, level: number, top: number, bottom: number): Range {
  const { y, parent, levelStart } = layout;
  const end = levelStart[level + 1]!;
  const lo = firstWhere(levelStart[level]!, end, (i) => Math.max(y[i]!, y[parent[i]!]!) >= top);
  return { lo, hi: firstWhere(lo, end, (i) => Math.min(y[i]!, y[parent[i]!]!) > bottom) };
}

/** The segment of a level nearest to a y; NONE for a level that is not there. */
export function nearestInLevel(layout: TreeLayout, level: number, y: number): number {
  if (level < 0 || level >= layout.levels) return NONE;
  const start = layout.levelStart[level]!;
  const end = layout.levelStart[level + 1]!;
  const i = firstWhere(start, end, (k) => layout.y[k]! >= y);
  if (i === end) return end - 1;
  return i > start && y - layout.y[i - 1]! < layout.y[i]! - y ? i - 1 : i;
}

/** The segment nearest to a point, as distances look at scales `kx` and `ky`. */
export function nearest(layout: TreeLayout, x: number, y: number, kx: number, ky: number): number {
  const at = Math.min(layout.levels - 1, Math.max(0, levelAt(layout, x)));
  let best = 0;
  let least = Number.POSITIVE_INFINITY;
  for (let level = at - 1; level <= at + 1; level++) {
    const i = nearestInLevel(layout, level, y);
    if (i === NONE) continue;
    const dx = (x - layout.levelX[level]! - layout.boxWidth[i]! / 2) * kx;
    const dy = (y - layout.y[i]!) * ky;
    const d = dx * dx + dy * dy;
    if (d < least) {
      least = d;
      best = i;
    }
  }
  return best;
}

/** A column of pixels in which the heaviest of those that fall together is seen. */
export class PixelColumn {
  private readonly weight: Float64Array;
  private readonly shade: Uint8Array;

  constructor(readonly height: number) {
    this.weight = new Float64Array(height).fill(Number.NEGATIVE_INFINITY);
    this.shade = new Uint8Array(height);
  }

  add(pixel: number, weight: number, shade: number): void {
    if (pixel < 0 || pixel >= this.height || weight <= this.weight[pixel]!) return;
    this.weight[pixel] = weight;
    this.shade[pixel] = shade;
  }

  /** Calls back for each stretch of one shade, and empties the column. */
  flush(stroke: (top: number, bottom: number, shade: number) => void): void {
    let start = -1;
    for (let p = 0; p <= this.height; p++) {
      const full = p < this.height && this.weight[p]! > Number.NEGATIVE_INFINITY;
      if (start >= 0 && (!full || this.shade[p] !== this.shade[start])) {
        stroke(start, p, this.shade[start]!);
        start = -1;
      }
      if (full && start < 0) start = p;
    }
    this.weight.fill(Number.NEGATIVE_INFINITY);
  }
}
