// The tree on a canvas. Only what is in the window is looked at, and what falls on the same pixels is drawn once.

import type { Surface } from '../../lib/svg-canvas';
import { boxesBetween, levelsBetween, PixelColumn } from '../../lib/layout/cull';
import { BOX_HEIGHT, GAP, ROW } from '../../lib/layout/tree';
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
export function drawStrokes(ctx: Surface, s: Scenery, c: Camera, width: number, height: number): void {
  const { layout, run, shade } = s;
  const kx = scaleX(c);
  const ky = scaleY(c);
  const column = new PixelColumn(Math.ceil(height));
  const colours = fills(s.theme);
  const range = levelsBetween(layout, c.x, c.x + width / kx);
  const bottom = c.y + height / ky;
  const least = Math.max(1, Math.min(2, BOX_HEIGHT * ky));
  let used = -1;
  // Levels that fall on the same two pixels are one. Where these begin does not depend on what is in the window.
  const slot = (l: number) => Math.floor((layout.levelX[l]! * kx) / 2);
  let from = range.lo;
  while (from > 0 && slot(from - 1) === slot(range.lo)) from--;
  while (from < range.hi) {
    let to = from + 1;
    while (to < layout.levels && slot(to) === slot(from)) to++;
    for (let l = from; l < to; l++) {
      const { lo, hi } = boxesBetween(layout, l, c.y, bottom);
      for (let i = lo; i < hi; i++) {
        // What is cut has no mass, but is seen where nothing else is.
        const weight = Math.max(-Number.MAX_VALUE, run.pathLogprobOf(layout.first[i]!));
        column.add(Math.floor((layout.y[i]! - c.y) * ky), weight, shade[i]!);
      }
    }
    const x = (layout.levelX[from]! - c.x) * kx;
    const whole = (layout.levelX[to]! - layout.levelX[from]!) * kx;
    const wide = to - from > 1 || GAP * kx < 2 ? whole : whole - GAP * kx;
    from = to;
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
function drawWay(ctx: Surface, p: Picture, end: number, colour: string, width: number): void {
  const { layout, camera: c } = p;
  const kx = scaleX(c);
  const ky = scaleY(c);
  const boxes = ROW * ky >= MERGE_BELOW;
  ctx.strokeStyle = colour;
  ctx.lineWidth = width;
  ctx.beginPath();
  let [lastX, lastY] = [Number.NaN, Number.NaN];
  for (let i = end; i !== NONE; i = layout.parent[i]!) {
    const l = layout.level[i]!;
    const x = (layout.levelX[l]! - c.x) * kx;
    if (x > p.width && l > 0 && (layout.levelX[l - 1]! - c.x) * kx > p.width) continue;
    if ((layout.levelX[l + 1]! - c.x) * kx < 0) break;
    const w = layout.boxWidth[i]! * kx;
    const y = (layout.y[i]! - c.y) * ky;
    const h = boxHeight(layout, i, kx, ky);
    const outlined = boxes || h > OUTLINED;
    if (outlined && y > -h && y < p.height + h) outline(ctx, x, y, w, h);
    const before = layout.parent[i]!;
    if (before === NONE) break;
    const y0 = (layout.y[before]! - c.y) * ky;
    const x0 = (layout.levelX[l - 1]! + layout.boxWidth[before]! - c.x) * kx;
    if (boxes) curve(ctx, x0, y0, x, y);
    else if (!(Math.abs(x - lastX) < 1 && Math.abs(y - lastY) < 1)) {
      // Not through the text of a box.
      ctx.moveTo(outlined ? x : x + w, y);
      ctx.lineTo(x, y);
      ctx.lineTo(x0, y0);
      lastX = x;
      lastY = y;
    }
  }
  ctx.stroke();
}

function outline(ctx: Surface, x: number, y: number, width: number, height: number): void {
  const h = Math.max(4, height);
  const w = Math.max(4, width);
  ctx.roundRect(x - 1, y - h / 2 - 1, w + 2, h + 2, Math.min(6, h / 4 + 1));
}

function drawOutline(ctx: Surface, p: Picture, i: number, colour: string, width: number): void {
  if (i === NONE) return;
  const kx = scaleX(p.camera);
  const ky = scaleY(p.camera);
  ctx.beginPath();
  const x = (p.layout.levelX[p.layout.level[i]!]! - p.camera.x) * kx;
  outline(ctx, x, (p.layout.y[i]! - p.camera.y) * ky, p.layout.boxWidth[i]! * kx, boxHeight(p.layout, i, kx, ky));
  ctx.strokeStyle = colour;
  ctx.lineWidth = width;
  ctx.stroke();
}

/** A bar at the left of what the search found, a dot where boxes are too small. */
function drawHits(ctx: Surface, p: Picture): void {
  if (!p.hits) return;
  const { layout, camera: c, hits } = p;
  const kx = scaleX(c);
  const ky = scaleY(c);
  const range = levelsBetween(layout, c.x, c.x + p.width / kx);
  ctx.fillStyle = p.theme.found;
  for (let l = range.lo; l < range.hi; l++) {
    const x = (layout.levelX[l]! - c.x) * kx;
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

export function drawTree(ctx: Surface, p: Picture): void {
  ctx.fillStyle = p.theme.bg;
  ctx.fillRect(0, 0, p.width, p.height);
  const merged = ROW * scaleY(p.camera) < MERGE_BELOW;
  drawLinks(ctx, p, merged);
  if (merged) drawStrokes(ctx, p, p.camera, p.width, p.height);
  // Over strokes, which would cover it, but under texts.
  if (p.pathEnd !== NONE) drawWay(ctx, p, p.pathEnd, p.theme.path, 2);
  drawBoxes(ctx, p, merged);
  if (p.hovered !== NONE) drawWay(ctx, p, p.hovered, p.theme.text, 1.5);
  drawHits(ctx, p);
  drawOutline(ctx, p, p.currentHit, p.theme.found, 2);
  drawOutline(ctx, p, p.selected, p.theme.select, 3);
}
