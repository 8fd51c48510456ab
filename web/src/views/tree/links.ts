// Links between the tree's boxes.

import type { Surface } from '../../lib/svg-canvas';
import { levelsBetween, linksBetween } from '../../lib/layout/cull';
import { GAP } from '../../lib/layout/tree';
import type { Run } from '../../lib/run';
import { scaleX, scaleY } from './camera';
import type { Picture } from './picture';

/** Thickness of a link in half pixels. */
function thickness(run: Run, first: number, ky: number): number {
  const w = 8 * Math.sqrt(run.mass(first)) * Math.min(1, Math.max(0.25, ky));
  return Math.max(2, Math.round(2 * w));
}

/** The links in the window; `merged`: those that end on the same pixels are drawn once. */
export function drawLinks(ctx: Surface, p: Picture, merged: boolean): void {
  const { layout, run, camera: c, height } = p;
  const kx = scaleX(c);
  const ky = scaleY(c);
  if (GAP * kx < 3) return;
  const range = levelsBetween(layout, c.x, c.x + p.width / kx);
  // Those of the level beyond begin in the window.
  const end = Math.min(layout.levels, range.hi + 1);
  const { parent, boxWidth, levelX, level } = layout;
  /** Right edge of the box before. */
  const from = (i: number) => (levelX[level[i]! - 1]! + boxWidth[parent[i]!]! - c.x) * kx;
  const bottom = c.y + height / ky;
  // Most links are hair lines, stroked as one path each level; few are massive.
  const thick: number[] = [];
  ctx.strokeStyle = p.theme.dim;
  ctx.globalAlpha = 0.55;
  ctx.lineWidth = 1;
  for (let l = Math.max(1, range.lo); l < end; l++) {
    const { lo, hi } = linksBetween(layout, l, c.y, bottom);
    if (lo === hi) continue;
    const x1 = (levelX[l]! - c.x) * kx;
    let before = Number.NaN;
    ctx.beginPath();
    for (let i = lo; i < hi; i++) {
      const y1 = (layout.y[i]! - c.y) * ky;
      if (thickness(run, layout.first[i]!, ky) > 2) thick.push(i);
      else if (merged) {
        if (Math.abs(y1 - before) < 2) continue;
        before = y1;
        ctx.moveTo(from(i), (layout.y[parent[i]!]! - c.y) * ky);
        ctx.lineTo(x1, y1);
      } else curve(ctx, from(i), (layout.y[parent[i]!]! - c.y) * ky, x1, y1);
    }
    ctx.stroke();
  }
  for (const i of thick) {
    const x1 = (levelX[level[i]!]! - c.x) * kx;
    ctx.lineWidth = thickness(run, layout.first[i]!, ky) / 2;
    ctx.beginPath();
    curve(ctx, from(i), (layout.y[parent[i]!]! - c.y) * ky, x1, (layout.y[i]! - c.y) * ky);
    ctx.stroke();
  }
  ctx.globalAlpha = 1;
}

/** The part of a link that bends. */
const BEND = 0.2;

export function curve(ctx: Surface, x0: number, y0: number, x1: number, y1: number): void {
  // The bend is next to where it ends: boxes of a level end at different places, and the links of all of them shall look alike.
  const bend = Math.min(x1 - x0, BEND * (x1 - x0) + 40) / 2;
  ctx.moveTo(x0, y0);
  ctx.lineTo(x1 - 2 * bend, y0);
  ctx.bezierCurveTo(x1 - bend, y0, x1 - bend, y1, x1, y1);
}
