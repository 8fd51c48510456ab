// Draws the part of a ribbon that is seen.

import { css, faded, inkFor, type Rgb, strengthOf } from '../../lib/colours';
import {
  cells,
  nodeCells,
  PAD_CELLS,
  PROMPT_CELLS,
  REST_CELLS,
  type RibbonLayout,
  rests,
} from '../../lib/layout/ribbon';
import { level, type Metric, metricOf } from '../../lib/metrics';
import { percent } from '../../lib/numbers';
import { NONE, ROOT, type Run } from '../../lib/run';
import type { Theme } from '../tree/theme';
import { oneLine } from '../../lib/visible';
import { reasonOf } from '../tree/words';
import type { Camera } from './camera';
import { restName } from './words';

export interface Picture {
  run: Run;
  layout: RibbonLayout;
  camera: Camera;
  width: number;
  height: number;
  theme: Theme & { mono: string };
  hatches: { open: CanvasPattern | string; pruned: CanvasPattern | string };
  metric: Metric;
  marks: boolean;
  /** Width of a character at the larger font size. */
  cell: number;
  /** Boxes of the current path. */
  onPath: Uint8Array;
  selected: number;
  hovered: number;
  /** Boxes that the search found, and those above them. */
  hits: Uint8Array | null;
  /** Levels on the colour scale by box, -1 where not computed yet. */
  shade: Float32Array;
}

export const FONT = 12;
const SMALL_FONT = 9;
/** A box with text is at least this high. */
const SMALL_FROM = 10;
const LARGE_FROM = 14;
const PAD = 3;

/** What a search found, and a box that has it somewhere below. */
export const HIT = 1;
export const ABOVE_HIT = 2;
const HIT_WIDTH = 4;
/** x, y and height of what marks a hit. */
type Mark = [number, number, number];

interface Frame {
  i: number;
  x0: number;
  x1: number;
  y0: number;
  y1: number;
}

export function drawRibbon(ctx: CanvasRenderingContext2D, p: Picture): void {
  const { layout: l, camera, width, height } = p;
  ctx.fillStyle = p.theme.bg;
  ctx.fillRect(0, 0, width, height);
  ctx.textBaseline = 'middle';
  ctx.textAlign = 'left';
  const sx = (x: number) => (x - camera.x) * camera.kx;
  const sy = (y: number) => (y - camera.y) * camera.ky * height;

  const path: Frame[] = [];
  const hits: Mark[] = [];
  const stack = [0];
  while (stack.length > 0) {
    const i = stack.pop()!;
    const f: Frame = { i, x0: sx(l.x0[i]!), x1: sx(l.x1[i]!), y0: sy(l.y0[i]!), y1: sy(l.y1[i]!) };
    if (f.y1 <= 0 || f.y0 >= height || f.x0 >= width || sx(l.end[i]!) <= 0) continue;
    if (f.x1 > 0) {
      box(ctx, p, f);
      if (p.onPath[i] === 1) path.push(f);
      if (p.hits?.[i] === HIT) hits.push([Math.max(0, f.x0), f.y0, Math.max(2, f.y1 - f.y0 - 1)]);
    }
    if (f.x1 < width) {
      drawRests(ctx, p, f, sy);
      children(ctx, p, f, stack, hits, sx, sy);
    }
  }
  // On top, or the boxes that follow would cover their outlines.
  for (const f of path) outline(ctx, f, p.theme.path, 2, width);
  ctx.fillStyle = p.theme.found;
  for (const [x, y, h] of hits) ctx.fillRect(x, y, HIT_WIDTH, h);
  mark(ctx, p, p.hovered, p.theme.text, 1.5, sx, sy);
  mark(ctx, p, p.selected, p.theme.select, 2.5, sx, sy);
}

/** Puts children on the stack; those less than a pixel high are drawn together, a pixel at a time. */
function children(
  ctx: CanvasRenderingContext2D,
  p: Picture,
  f: Frame,
  stack: number[],
  hits: Mark[],
  sx: (x: number) => number,
  sy: (y: number) => number,
): void {
  const { layout: l, height, width } = p;
  const from = l.childStart[f.i]!;
  const to = from + l.childCount[f.i]!;
  // The first pixel of what is drawn together, and how far it reaches.
  let top = Number.NaN;
  let end = 0;
  let first = NONE;
  let found = false;
  const flush = (bottom: number) => {
    if (first === NONE) return;
    ctx.globalAlpha = 0.75;
    ctx.fillStyle = p.run.isCut(l.first[first]!) ? p.theme.dim : css(colourOf(p, first));
    ctx.fillRect(f.x1, top, Math.min(width, sx(end)) - f.x1, Math.max(1, bottom - top));
    ctx.globalAlpha = 1;
    if (found) hits.push([f.x1, top, Math.max(2, bottom - top)]);
    first = NONE;
    found = false;
  };
  for (let c = from; c < to; c++) {
    const [y0, y1] = [sy(l.y0[c]!), sy(l.y1[c]!)];
    if (y1 - y0 >= 1) {
      flush(y0);
      stack.push(c);
      continue;
    }
    if (y1 < 0 || y0 > height) continue;
    if (first === NONE) {
      first = c;
      top = y0;
      end = l.end[c]!;
    } else end = Math.max(end, l.end[c]!);
    found ||= p.hits !== null && p.hits[c] !== 0;
    if (y1 - top >= 1) flush(y1);
  }
  if (to > from) flush(Math.min(sy(l.y1[to - 1]!), height));
}

function shadeOf(p: Picture, i: number): number {
  let s = p.shade[i]!;
  if (s === -1) {
    s = level(p.metric, metricOf(p.run, p.layout.first[i]!, p.metric));
    p.shade[i] = s;
  }
  return s;
}

/** The colour of a box: what has little mass is drawn faintly. */
function colourOf(p: Picture, i: number): Rgb {
  return faded(shadeOf(p, i), p.theme.scheme, strengthOf(p.run.pathLogprobOf(p.layout.first[i]!)));
}

function box(ctx: CanvasRenderingContext2D, p: Picture, f: Frame): void {
  const { layout: l, run, theme } = p;
  const root = l.first[f.i] === ROOT;
  const colour = colourOf(p, f.i);
  // Only what is seen: a box of 20,000 tokens is wider than a canvas can draw precisely.
  const left = Math.max(f.x0, -4);
  const right = Math.min(f.x1, p.width + 4);
  const top = Math.max(f.y0, -4);
  const bottom = Math.min(f.y1, p.height + 4);
  const cut = run.isCut(l.first[f.i]!);
  ctx.fillStyle = root ? theme.raised : cut ? theme.bg : css(colour);
  // A gap between boxes, where there is room for one.
  const gap = f.y1 - f.y0 >= 4 ? 1 : 0;
  ctx.fillRect(left, top, right - left - (f.x1 - f.x0 > 4 ? 1 : 0), bottom - top - gap);
  if (f.y1 - f.y0 < SMALL_FROM) return;
  ctx.fillStyle = root ? theme.text : cut ? theme.dim : inkFor(colour);
  words(ctx, p, f);
  const reason = l.childCount[f.i] === 0 && l.shares === 'explored' ? reasonOf(run, l.last[f.i]!) : null;
  if (reason && f.x1 < p.width) {
    ctx.fillStyle = theme.dim;
    ctx.fillText(reason[0], f.x1 + 2, middle(p, f.y0, f.y1));
  }
}

/** The middle of what is seen of an extent. */
const middle = (p: Picture, y0: number, y1: number): number => (Math.max(0, y0) + Math.min(p.height, y1)) / 2;

/** The text of a box, from the first token that is seen; in boxes longer than their text each token stands at its place. */
function words(ctx: CanvasRenderingContext2D, p: Picture, f: Frame): void {
  const { run, layout: l, camera } = p;
  const large = f.y1 - f.y0 >= LARGE_FROM;
  const font = large ? FONT : SMALL_FONT;
  const cell = (p.cell * font) / FONT;
  ctx.font = `${font}px ${p.theme.mono}`;
  const y = middle(p, f.y0, f.y1);
  const right = Math.min(f.x1, p.width);
  const put = (text: string, x: number, room: number) => {
    const shown = fit(oneLine(text, p.marks), Math.floor((room + 1) / cell));
    if (shown !== '') ctx.fillText(shown, x, y);
  };
  const last = l.last[f.i]!;
  let n = l.first[f.i]!;
  if (n === ROOT) {
    const x = Math.max(PAD, f.x0 + PAD_CELLS * camera.kx);
    const room = right - x;
    put(tail(run.header.prompt.text, Math.min(PROMPT_CELLS, Math.floor(room / cell))), x, room);
    return;
  }
  while (n !== last) {
    const after = run.firstChild.get(n);
    if ((l.nodeX[after]! - camera.x) * camera.kx > 0) break;
    n = after;
  }
  // In the smaller font a text is shorter than its box: its tokens stand at their places only where there is room between them anyway.
  const apart = camera.kx > cell * 1.05 && (large || camera.kx > p.cell * 1.05);
  const natural = large && camera.kx > p.cell * 0.95;
  let x = Math.max(PAD, (l.nodeX[n]! - camera.x) * camera.kx);
  let tokens: number[] = [];
  for (; ; n = run.firstChild.get(n)) {
    const token = run.token.get(n);
    tokens.push(token);
    const end = (l.nodeX[n]! + nodeCells(run, n) - camera.x) * camera.kx;
    // Parts of a character are only readable together.
    const whole = n === last || !(run.isPart(token) && run.isPart(run.token.get(run.firstChild.get(n))));
    // Where characters are not as wide as they should be, what follows goes back to its place.
    if (whole && (apart || (natural && !/^[ -~]*$/.test(run.text(token))))) {
      put(run.textOf(tokens), x, Math.min(end, right) - x);
      tokens = [];
      x = end;
    }
    if (n === last || end >= p.width || (!apart && tokens.length * cell > p.width)) break;
  }
  if (tokens.length > 0) put(run.textOf(tokens), x, right - x);
}

/** The end of a text, in so many cells. */
function tail(text: string, most: number): string {
  if (cells(text) <= most) return text;
  const kept = Array.from(text.slice(-2 * PROMPT_CELLS)).slice(-Math.max(0, most - 1));
  return `…${kept.join('')}`;
}

/** The beginning of a text, in so many cells; nothing where not even a character fits. */
function fit(text: string, room: number): string {
  if (room < 1) return '';
  // A text of at most so many code units may have fewer cells, never many more than twice as many.
  if (text.length * 2 <= room || cells(text) <= room) return text;
  if (room < 2) return '';
  let out = '';
  let used = 0;
  for (const c of text) {
    used += cells(c);
    if (used > room - 1) break;
    out += c;
  }
  return `${out}…`;
}

function drawRests(ctx: CanvasRenderingContext2D, p: Picture, f: Frame, sy: (y: number) => number): void {
  for (const r of rests(p.layout, f.i)) {
    const [y0, y1] = [Math.max(sy(r.y0), -4), Math.min(sy(r.y1), p.height + 4)];
    if (y1 - y0 < 1) continue;
    const width = REST_CELLS * p.camera.kx;
    ctx.fillStyle = r.part === 'hidden' ? p.theme.raised : p.hatches[r.part];
    ctx.fillRect(f.x1, y0, width, y1 - y0 - (y1 - y0 >= 4 ? 1 : 0));
    if (y1 - y0 < LARGE_FROM || width < 8 * p.cell) continue;
    const label = fit(
      `${restName(p.run, p.layout.last[f.i]!, r.part)} ${percent(r.share)}`,
      Math.floor(width / p.cell) - 1,
    );
    ctx.font = `${FONT}px ${p.theme.mono}`;
    const y = middle(p, y0, y1);
    ctx.fillStyle = p.theme.bg;
    ctx.fillRect(f.x1 + 2, y - 8, cells(label) * p.cell + 4, 16);
    ctx.fillStyle = p.theme.text;
    ctx.fillText(label, f.x1 + 4, y);
  }
}

function outline(ctx: CanvasRenderingContext2D, f: Frame, colour: string, line: number, width: number): void {
  const x0 = Math.max(f.x0, -2 * line);
  const w = Math.min(f.x1, width + 2 * line) - x0;
  const h = f.y1 - f.y0;
  if (h < 2 * line || w < 2 * line) {
    ctx.fillStyle = colour;
    ctx.fillRect(x0, f.y0, w, Math.max(1, Math.min(line, h)));
    return;
  }
  ctx.strokeStyle = colour;
  ctx.lineWidth = line;
  ctx.strokeRect(x0 + line / 2, f.y0 + line / 2, w - line, h - line);
}

/** The box of a node, and the node's own text in it. */
function mark(
  ctx: CanvasRenderingContext2D,
  p: Picture,
  node: number,
  colour: string,
  line: number,
  sx: (x: number) => number,
  sy: (y: number) => number,
): void {
  const { layout: l, run } = p;
  const i = l.boxOf[node] ?? NONE;
  if (i === NONE) return;
  const f: Frame = { i, x0: sx(l.x0[i]!), x1: sx(l.x1[i]!), y0: sy(l.y0[i]!), y1: sy(l.y1[i]!) };
  if (f.x1 <= 0 || f.x0 >= p.width || f.y1 <= 0 || f.y0 >= p.height) return;
  outline(ctx, f, colour, line, p.width);
  if (l.first[i] === l.last[i]) return;
  const x0 = Math.max(sx(l.nodeX[node]!), 0);
  const x1 = Math.min(sx(l.nodeX[node]! + nodeCells(run, node)), p.width);
  ctx.fillStyle = colour;
  const bottom = Math.min(f.y1, p.height);
  if (x1 > x0) ctx.fillRect(x0, Math.max(f.y0, bottom - 2 * line), x1 - x0, Math.min(2 * line, f.y1 - f.y0));
}
