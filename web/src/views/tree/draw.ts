// The tree on a canvas. Only what is in the window is looked at, and what falls on the same pixels is drawn once.

import { boxesBetween, levelsBetween, PixelColumn } from '../../lib/layout/cull';
import { BOX_HEIGHT, BOX_WIDTH, COLUMN, columnX, ROW } from '../../lib/layout/tree';
import { NONE } from '../../lib/run';
import { drawBoxes } from './boxes';
import { boxHeight, type Camera, scaleX, scaleY } from './camera';
import { curve, drawLinks } from './links';
import { fills, type Picture, type Scenery } from './picture';

/** Rows of fewer pixels are merged. */
const MERGE_BELOW = 3;
/** Among strokes, higher boxes have an outline. */
const OUTLINED = 8;

/** All boxes, as strokes: what falls on the same pixel shows the most massive. */
export function drawStrokes(ctx: CanvasRenderingContext2D, s: Scenery, c: Camera, width: number, height: number): void {
  const { layout, run, shade } = s;
  const kx = scaleX(c);
  const ky = scaleY(c);
  const group = Math.max(1, Math.ceil(2 / (COLUMN * kx)));
  const wide = group > 1 || (COLUMN - BOX_WIDTH) * kx < 2 ? COLUMN * kx * group : BOX_WIDTH * kx;
  const column = new PixelColumn(Math.ceil(height));
  const colours = fills(s.theme);
  const range = levelsBetween(layout, c.x, c.x + width / kx);
  const bottom = c.y + height / ky;
  const least = Math.max(1, Math.min(2, BOX_HEIGHT * ky));
  let used = -1;
  // Groups begin at multiples, so that panning does not change what is merged.
  for (let from = range.lo - (range.lo % group); from < range.hi; from += group) {
    for (let l = from; l < Math.min(from + group, layout.levels); l++) {
      const { lo, hi } = boxesBetween(layout, l, c.y, bottom);
      for (let i = lo; i < hi; i++) {
        // What is cut has no mass, but is seen where nothing else is.
        const weight = Math.max(-Number.MAX_VALUE, run.pathLogprobOf(layout.first[i]!));
        column.add(Math.floor((layout.y[i]! - c.y) * ky), weight, shade[i]!);
      }
    }
    const x = (columnX(from) - c.x) * kx;
    column.flush((top, end, k) => {
      if (k !== used) {
        used = k;
        ctx.fillStyle = colours[k]!;
      }
      ctx.fillRect(x, top, Math.max(1, wide), Math.max(least, end - top));
    });
  }
}

/** The links and boxes from the prompt to a segment. */
function drawWay(ctx: CanvasRenderingContext2D, p: Picture, end: number, colour: string, width: number): void {
  const { layout, camera: c } = p;
  const kx = scaleX(c);
  const ky = scaleY(c);
  const gap = (COLUMN - BOX_WIDTH) * kx;
  const boxes = ROW * ky >= MERGE_BELOW;
  ctx.strokeStyle = colour;
  ctx.lineWidth = width;
  ctx.beginPath();
  let [lastX, lastY] = [Number.NaN, Number.NaN];
  for (let i = end; i !== NONE; i = layout.parent[i]!) {
    const x = (columnX(layout.level[i]!) - c.x) * kx;
    if (x > p.width) continue;
    if (x + COLUMN * kx < 0) break;
    const y = (layout.y[i]! - c.y) * ky;
    const h = boxHeight(layout, i, kx, ky);
    const outlined = boxes || h > OUTLINED;
    if (outlined && y > -h && y < p.height + h) outline(ctx, x, y, BOX_WIDTH * kx, h);
    const before = layout.parent[i]!;
    if (before === NONE) break;
    const y0 = (layout.y[before]! - c.y) * ky;
    if (boxes) curve(ctx, x - gap, y0, x, y);
    else if (!(Math.abs(x - lastX) < 1 && Math.abs(y - lastY) < 1)) {
      // Not through the text of a box.
      ctx.moveTo(outlined ? x : x + BOX_WIDTH * kx, y);
      ctx.lineTo(x, y);
      ctx.lineTo(x - gap, y0);
      lastX = x;
      lastY = y;
    }
  }
  ctx.stroke();
}

function outline(ctx: CanvasRenderingContext2D, x: number, y: number, width: number, height: number): void {
  const h = Math.max(4, height);
  const w = Math.max(4, width);
  ctx.roundRect(x - 1, y - h / 2 - 1, w + 2, h + 2, Math.min(6, h / 4 + 1));
}

function drawOutline(ctx: CanvasRenderingContext2D, p: Picture, i: number, colour: string, width: number): void {
  if (i === NONE) return;
  const kx = scaleX(p.camera);
  const ky = scaleY(p.camera);
  ctx.beginPath();
  const x = (columnX(p.layout.level[i]!) - p.camera.x) * kx;
  outline(ctx, x, (p.layout.y[i]! - p.camera.y) * ky, BOX_WIDTH * kx, boxHeight(p.layout, i, kx, ky));
  ctx.strokeStyle = colour;
  ctx.lineWidth = width;
  ctx.stroke();
}

/** A bar at the left of what the search found, a dot where boxes are too small. */
function drawHits(ctx: CanvasRenderingContext2D, p: Picture): void {
  if (!p.hits) return;
  const { layout, camera: c, hits } = p;
  const kx = scaleX(c);
  const ky = scaleY(c);
  const range = levelsBetween(layout, c.x, c.x + p.width / kx);
  ctx.fillStyle = p.theme.focus;
  for (let l = range.lo; l < range.hi; l++) {
    const x = (columnX(l) - c.x) * kx;
    const { lo, hi } = boxesBetween(layout, l, c.y - BOX_HEIGHT, c.y + p.height / ky + BOX_HEIGHT);
    let drawn = Number.NEGATIVE_INFINITY;
    for (let i = lo; i < hi; i++) {
      const y = (layout.y[i]! - c.y) * ky;
      if (hits[i] === 0 || y - drawn < 1) continue;
      drawn = y;
      const h = Math.max(4, boxHeight(layout, i, kx, ky));
      ctx.fillRect(x - 5, y - h / 2, 4, h);
    }
  }
}

export function drawTree(ctx: CanvasRenderingContext2D, p: Picture): void {
  ctx.fillStyle = p.theme.bg;
  ctx.fillRect(0, 0, p.width, p.height);
  const merged = ROW * scaleY(p.camera) < MERGE_BELOW;
  drawLinks(ctx, p, merged);
  if (merged) drawStrokes(ctx, p, p.camera, p.width, p.height);
  // Over strokes, which would cover it, but under texts.
  if (p.pathEnd !== NONE) drawWay(ctx, p, p.pathEnd, p.theme.accent, 2);
  drawBoxes(ctx, p, merged);
  if (p.hovered !== NONE) drawWay(ctx, p, p.hovered, p.theme.text, 1.5);
  drawHits(ctx, p);
  drawOutline(ctx, p, p.currentHit, p.theme.focus, 2);
  drawOutline(ctx, p, p.selected, p.theme.focus, 3);
}
