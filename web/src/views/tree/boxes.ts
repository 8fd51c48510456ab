// The tree's boxes, where they are large enough to be seen one by one.

import type { Surface } from '../../lib/svg-canvas';
import { boxesBetween, levelsBetween } from '../../lib/layout/cull';
import { BOX_HEIGHT, boxHeightOf, GAP } from '../../lib/layout/tree';
import { inThought } from '../../lib/thought';
import { boxHeight, scaleX, scaleY } from './camera';
import { CUT, fills, inkOfShade, type Picture } from './picture';
import { branchChance, reasonOf } from './words';

const MIN_FONT = 6;
const FONT = 12;
const PAD = 6;
/** From the box to the middle of its handle. */
export const HANDLE = 10;
const HANDLE_RADIUS = 6;
const HANDLES_FROM = 0.45;
/** A narrower box has no room for its probability. */
const WITH_CHANCE = 64;
/** From one line of text to the next. */
const LINE = 15;

/** Scale of what stands beside a box of a scale: it ends before the next column. */
export const besideScale = (k: number, kx: number): number => Math.min(k, (GAP * kx) / (2 * HANDLE + 4));

/** Boxes in the window; `onlyRead`: only those with text, the others are strokes already. */
export function drawBoxes(ctx: Surface, p: Picture, onlyRead: boolean): void {
  const { layout, camera: c } = p;
  const kx = scaleX(c);
  const ky = scaleY(c);
  const colours = fills(p.theme);
  const range = levelsBetween(layout, c.x, c.x + p.width / kx);
  // A box may be drawn higher than its scale says.
  const margin = (2 * BOX_HEIGHT) / Math.min(1, ky);
  ctx.textBaseline = 'middle';
  let used = -1;
  for (let l = range.lo; l < range.hi; l++) {
    const x = (layout.levelX[l]! - c.x) * kx;
    const { lo, hi } = boxesBetween(layout, l, c.y - margin, c.y + p.height / ky + margin);
    for (let i = lo; i < hi; i++) {
      const h = boxHeight(layout, i, kx, ky);
      const k = h / boxHeightOf(layout, i);
      const w = layout.boxWidth[i]! * kx;
      const y = (layout.y[i]! - c.y) * ky;
      const read = FONT * k >= MIN_FONT;
      if (onlyRead && !read) continue;
      if (used !== p.shade[i]) {
        used = p.shade[i]!;
        ctx.fillStyle = colours[used]!;
      }
      if (!read) {
        ctx.fillRect(x, y - h / 2, w, h);
        continue;
      }
      ctx.beginPath();
      ctx.roundRect(x, y - h / 2, w, h, Math.min(5, h / 4));
      ctx.fill();
      // The scale's darkest colours are hardly seen on a dark page.
      ctx.globalAlpha = 0.6;
      ctx.strokeStyle = p.theme.dim;
      ctx.lineWidth = 1;
      ctx.stroke();
      ctx.globalAlpha = 1;
      write(ctx, p, i, x, y, w, k);
      beside(ctx, p, i, x + w, y, besideScale(k, kx));
      used = -1;
    }
  }
}

/** In whole pixels while it is small: a browser keeps the glyphs of few sizes. */
const font = (p: Picture, k: number): string => `${k < 1 ? Math.floor(FONT * k) : FONT * k}px ${p.theme.sans}`;

/** The text and the probability in a box; `k`: scale of its font. */
function write(ctx: Surface, p: Picture, i: number, x: number, y: number, w: number, k: number): void {
  const { layout, run, labels } = p;
  const shade = p.shade[i]!;
  const first = layout.first[i]!;
  const share = w / k < WITH_CHANCE ? '' : branchChance(run, first);
  const inside = w / k - 2 * PAD;
  const room = inside - (share === '' ? 0 : labels.width(share) + PAD);
  ctx.fillStyle = inkOfShade(shade, p.theme);
  ctx.font = `${inThought(run, first) ? 'italic ' : ''}${font(p, k)}`;
  ctx.textAlign = 'left';
  const lines = labels.lines(run, first, layout.last[i]!, room, layout.lines[i] === 2 ? inside : 0);
  const top = y - ((lines.length - 1) * LINE * k) / 2;
  for (const [n, text] of lines.entries()) {
    const at = top + n * LINE * k;
    ctx.fillText(text, x + PAD * k, at);
    if (shade === CUT) ctx.fillRect(x + PAD * k, at, ctx.measureText(text).width, 1);
  }
  if (share === '') return;
  ctx.font = font(p, k);
  ctx.textAlign = 'right';
  ctx.fillText(share, x + w - PAD * k, top);
}

/** The handle, the count of what is hidden, and why a leaf ends. */
function beside(ctx: Surface, p: Picture, i: number, x: number, y: number, k: number): void {
  const { layout, theme } = p;
  const reason = reasonOf(p.run, layout.last[i]!);
  const hidden = layout.hidden[i]!;
  const folded = layout.collapsed[i] === 1;
  const text: string[] = [];
  if (reason) text.push(reason[0]);
  if (hidden > 0) text.push(`+${hidden.toLocaleString('en')}`);
  let at = x + 4 * k;
  if (k >= HANDLES_FROM && (folded || layout.childCount[i]! > 0)) {
    const cx = x + HANDLE * k;
    const arm = 3 * k;
    ctx.beginPath();
    ctx.arc(cx, y, HANDLE_RADIUS * k, 0, 2 * Math.PI);
    ctx.fillStyle = theme.raised;
    ctx.fill();
    ctx.strokeStyle = theme.dim;
    ctx.lineWidth = 1;
    ctx.moveTo(cx - arm, y);
    ctx.lineTo(cx + arm, y);
    if (folded) {
      ctx.moveTo(cx, y - arm);
      ctx.lineTo(cx, y + arm);
    }
    ctx.stroke();
    at = cx + (HANDLE_RADIUS + 4) * k;
  }
  if (text.length === 0 || FONT * k < MIN_FONT) return;
  ctx.font = font(p, k);
  ctx.textAlign = 'left';
  // Links may run below the count.
  ctx.strokeStyle = theme.bg;
  ctx.lineWidth = 3;
  ctx.lineJoin = 'round';
  ctx.fillStyle = theme.dim;
  const line = text.join(' ');
  const lift = !folded && layout.childCount[i]! > 0 ? 9 * k : 0;
  ctx.strokeText(line, at, y - lift);
  ctx.fillText(line, at, y - lift);
}
