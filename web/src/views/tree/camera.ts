// What part of the tree is seen, and how large.

import { boxHeightOf, type TreeLayout } from '../../lib/layout/tree';

/**
 * `x`, `y`: the world point at the top left. Zoom is that of rows; below 1 columns shrink by the power `squeeze` of
 * it. A run has many times more leaves than levels, so with one scale for both, what fits in height is a hair's width.
 */
export interface Camera {
  x: number;
  y: number;
  zoom: number;
  squeeze: number;
}

export const MAX_ZOOM = 4;
const MIN_ZOOM = 0.02;
const MARGIN = 24;

export const scaleY = (c: Camera): number => c.zoom;
export const scaleX = (c: Camera): number => (c.zoom < 1 ? c.zoom ** c.squeeze : c.zoom);

/** The camera that shows the whole tree. */
export function fit(layout: TreeLayout, width: number, height: number): Camera {
  // Right of a box stand its glyph and its count.
  const fx = Math.min(1, Math.max(1, width - 2 * MARGIN) / (layout.width + 48));
  const fy = Math.min(1, Math.max(1, height - 2 * MARGIN) / layout.height);
  const zoom = Math.min(fy, 1);
  const tall = fy < fx;
  const c: Camera = { x: 0, y: 0, zoom: tall ? zoom : fx, squeeze: tall ? Math.log(fx) / Math.log(fy) : 1 };
  c.x = -MARGIN / scaleX(c);
  c.y = layout.height / 2 - height / 2 / scaleY(c);
  return c;
}

/** The camera that a tree is first seen with: all of it if it has room at its own size, else its own size around a path. */
export function atFirst(layout: TreeLayout, width: number, height: number, end: number): Camera {
  const whole = fit(layout, width, height);
  if (whole.zoom >= 1) return whole;
  // The middle of what of the path is in sight.
  let [least, most] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (let i = end; i >= 0; i = layout.parent[i]!) {
    if (layout.levelX[layout.level[i]!]! > width - MARGIN) continue;
    least = Math.min(least, layout.y[i]!);
    most = Math.max(most, layout.y[i]!);
  }
  const y = Number.isFinite(least) ? (least + most) / 2 : layout.y[0]!;
  return { ...whole, zoom: 1, x: -MARGIN, y: y - height / 2 };
}

/** The least zoom: far enough out to see everything. */
export const minZoom = (layout: TreeLayout, width: number, height: number): number =>
  Math.min(MIN_ZOOM, fit(layout, width, height).zoom / 2);

/** Zooms so that the world point under a screen point stays there. */
export function zoomAt(c: Camera, sx: number, sy: number, zoom: number): Camera {
  const out = { ...c, zoom };
  out.x = c.x + sx / scaleX(c) - sx / scaleX(out);
  out.y = c.y + sy / scaleY(c) - sy / scaleY(out);
  return out;
}

/** Moves so that a world point is at a screen point. */
export const placeAt = (c: Camera, wx: number, wy: number, sx: number, sy: number): Camera => ({
  ...c,
  x: wx - sx / scaleX(c),
  y: wy - sy / scaleY(c),
});

/** The most pixels that a box of one line, and of two, grows to. */
const GROWN = 20;
const GROWN_TWO = 34;
const NARROW = 36;

/**
 * Height of a box on the screen. Far out, a box that has room above and below is drawn higher than its scale says, so
 * that the thin upper levels of a large tree can be read while its leaves are strokes.
 */
export function boxHeight(layout: TreeLayout, i: number, kx: number, ky: number): number {
  const own = boxHeightOf(layout, i) * ky;
  const most = layout.lines[i] === 2 ? GROWN_TWO : GROWN;
  if (own >= most || layout.boxWidth[i]! * kx < NARROW) return own;
  const { y, level, levelStart } = layout;
  const l = level[i]!;
  let room = Number.POSITIVE_INFINITY;
  if (i > levelStart[l]!) room = y[i]! - y[i - 1]!;
  if (i + 1 < levelStart[l + 1]!) room = Math.min(room, y[i + 1]! - y[i]!);
  return Math.max(own, Math.min(most, room * ky - 3));
}
