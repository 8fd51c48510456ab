// Links between the tree's boxes.

import { levelsBetween, linksBetween } from '../../lib/layout/cull';
import { BOX_WIDTH, COLUMN, columnX } from '../../lib/layout/tree';
import type { Run } from '../../lib/run';
import { scaleX, scaleY } from './camera';
import type { Picture } from './picture';

/** Thickness of a link in half pixels. */
function thickness(run: Run, first: number, ky: number): number {
  const w = 8 * Math.sqrt(run.mass(first)) * Math.min(1, Math.max(0.25, ky));
  return Math.max(2, Math.round(2 * w));
}

/** The links in the window; `merged`: those that end on the same pixels are drawn once. */
export function drawLinks(ctx: CanvasRenderingContext2D, p: Picture, merged: boolean): void {
  const { layout, run, camera: c, height } = p;
  const kx = scaleX(c);
  const ky = scaleY(c);
  const gap = (COLUMN - BOX_WIDTH) * kx;
  if (gap < 3) return;
  const range = levelsBetween(layout, c.x - COLUMN, c.x + p.width / kx + COLUMN);
  const bottom = c.y + height / ky;
  // Most links are hair lines, stroked as one path each level; few are massive.
  const thick: number[] = [];
  ctx.strokeStyle = p.theme.dim;
  ctx.globalAlpha = 0.55;
  ctx.lineWidth = 1;
  for (let l = Math.max(1, range.lo); l < range.hi; l++) {
    const { lo, hi } = linksBetween(layout, l, c.y, bottom);
    if (lo === hi) continue;
    const x1 = (columnX(l) - c.x) * kx;
    const x0 = x1 - gap;
    let before = Number.NaN;
    ctx.beginPath();
    for (let i = lo; i < hi; i++) {
      const y1 = (layout.y[i]! - c.y) * ky;
      if (thickness(run, layout.first[i]!, ky) > 2) thick.push(i);
      else if (merged) {
        if (Math.abs(y1 - before) < 2) continue;
        before = y1;
        ctx.moveTo(x0, (layout.y[layout.parent[i]!]! - c.y) * ky);
        ctx.lineTo(x1, y1);
      } else curve(ctx, x0, (layout.y[layout.parent[i]!]! - c.y) * ky, x1, y1);
    }
    ctx.stroke();
  }
  for (const i of thick) {
    const x1 = (columnX(layout.level[i]!) - c.x) * kx;
    ctx.lineWidth = thickness(run, layout.first[i]!, ky) / 2;
    ctx.beginPath();
    curve(ctx, x1 - gap, (layout.y[layout.parent[i]!]! - c.y) * ky, x1, (layout.y[i]! - c.y) * ky);
    ctx.stroke();
  }
  ctx.globalAlpha = 1;
}

export function curve(ctx: CanvasRenderingContext2D, x0: number, y0: number, x1: number, y1: number): void {
  const mid = (x0 + x1) / 2;
  ctx.moveTo(x0, y0);
  ctx.bezierCurveTo(mid, y0, mid, y1, x1, y1);
}
