// The state of a ribbon: what is zoomed to, the camera, and when it is laid out and drawn.

import { type Signal, signal } from '@preact/signals';
import { type Hit, hit, layoutRibbon, nodeAt, type RibbonLayout, type Shares } from '../../lib/layout/ribbon';
import { NONE, ROOT, type Run } from '../../lib/run';
import { segments } from '../../lib/segments';
import { isLeftOut, NO_FILTERS, type TreeFilters } from '../../lib/layout/tree';
import { hovered, leaf, marks, metric, minMass, minProb, select, selected } from '../../state/store';
import { Finder } from '../tree/finder';
import { readTheme } from '../tree/theme';
import { type Account, accountOf } from './account';
import { type Camera, inside, showing, type Window, zoomedX, zoomedY } from './camera';
import { ABOVE_HIT, drawRibbon, FONT, HIT, type Picture } from './draw';
import { hatch } from './hatch';

/** A growing run is laid out anew at most this often, in milliseconds. */
const RELAYOUT_EVERY = 100;
/** What the search goes to is zoomed to if it is less high, in pixels. */
const READABLE = 10;

/** What of a view is kept while another is shown. */
interface Kept {
  shares: Shares;
  zooms: number[];
  camera: Camera | null;
}
const KEPT = new WeakMap<Run, Kept>();

export interface Shown {
  shares: Shares;
  /** First nodes of the boxes zoomed to, each inside the one before; the first is the prompt's. */
  zooms: number[];
  boxes: number;
  /** Boxes that are left out because they are less than was asked for. */
  hidden: number;
}

export class Scene {
  layout: RibbonLayout;
  camera: Camera;
  width = 0;
  height = 0;
  drawMs = 0;
  readonly shown = signal<Shown>({ shares: 'explored', zooms: [ROOT], boxes: 0, hidden: 0 });
  readonly account: Signal<Account>;
  readonly finder: Finder;

  private readonly kept: Kept;
  private look: Pick<Picture, 'theme' | 'hatches' | 'cell'>;
  private shade = new Float32Array(0);
  private hits: Uint8Array | null = null;
  private frame = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private laidOut = 0;
  private layoutMs = 0;

  constructor(
    readonly run: Run,
    private readonly canvas: HTMLCanvasElement,
  ) {
    this.account = signal(accountOf(run));
    this.kept = KEPT.get(run) ?? { shares: 'explored', zooms: [ROOT], camera: null };
    KEPT.set(run, this.kept);
    this.finder = new Finder(run, () => this.filters);
    this.look = this.readLook();
    this.camera = this.kept.camera ?? { x: 0, y: 0, kx: this.look.cell, ky: 1 };
    this.layout = this.relayout();
  }

  dispose(): void {
    cancelAnimationFrame(this.frame);
    clearTimeout(this.timer);
    this.kept.camera = this.camera;
  }

  // Drawing

  invalidate(): void {
    if (this.frame !== 0) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      this.draw();
    });
  }

  resize(width: number, height: number): void {
    this.width = width;
    this.height = height;
    this.invalidate();
  }

  retheme(): void {
    this.look = this.readLook();
    this.invalidate();
  }

  reshade(): void {
    this.shade = new Float32Array(this.layout.count).fill(-1);
    this.invalidate();
  }

  private readLook(): Pick<Picture, 'theme' | 'hatches' | 'cell'> {
    const style = getComputedStyle(this.canvas);
    const mono = style.getPropertyValue('--mono').trim() || 'monospace';
    const line = style.getPropertyValue('--hatch').trim() || '#3a4250';
    const theme = { ...readTheme(this.canvas), mono };
    const ctx = this.canvas.getContext('2d');
    if (ctx) ctx.font = `${FONT}px ${mono}`;
    const cell = (ctx?.measureText('0'.repeat(100)).width ?? 720) / 100;
    return { theme, cell, hatches: { open: hatch(line, theme.bg, false), pruned: hatch(line, theme.bg, true) } };
  }

  private draw(): void {
    const ctx = this.canvas.getContext('2d');
    if (!ctx || this.width === 0 || this.height === 0) return;
    const began = performance.now();
    const ratio = globalThis.devicePixelRatio || 1;
    const [w, h] = [Math.round(this.width * ratio), Math.round(this.height * ratio)];
    if (this.canvas.width !== w || this.canvas.height !== h) {
      this.canvas.width = w;
      this.canvas.height = h;
    }
    ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
    drawRibbon(ctx, {
      ...this.look,
      run: this.run,
      layout: this.layout,
      camera: this.camera,
      width: this.width,
      height: this.height,
      metric: metric.peek(),
      marks: marks.peek(),
      onPath: this.pathBoxes(),
      selected: selected.peek(),
      hovered: hovered.peek(),
      hits: this.hits,
      shade: this.shade,
    });
    this.drawMs = performance.now() - began;
  }

  /** The boxes of the current path: those above the one where it ends, or nothing where it ends elsewhere. */
  private pathBoxes(): Uint8Array {
    const l = this.layout;
    const on = new Uint8Array(l.count);
    // The path may have grown beyond what is laid out.
    let n = leaf.peek();
    while (n > ROOT && (n >= l.boxOf.length || l.boxOf[n] === NONE)) n = this.run.parent.get(n);
    for (let i = l.boxOf[n] ?? NONE; i !== NONE; i = l.parent[i]!) on[i] = 1;
    return on;
  }

  // Layout

  private relayout(): RibbonLayout {
    const began = performance.now();
    const { zooms, shares } = this.kept;
    this.layout = layoutRibbon(this.run, segments(this.run), zooms.at(-1) ?? ROOT, shares, this.filters);
    const { count, total } = this.layout;
    this.shown.value = { shares, zooms: [...zooms], boxes: count, hidden: total - count };
    this.account.value = accountOf(this.run);
    this.laidOut = performance.now();
    this.layoutMs = this.laidOut - began;
    this.reshade();
    this.finder.follow();
    this.markHits();
    return this.layout;
  }

  private get filters(): TreeFilters {
    return { ...NO_FILTERS, minMass: minMass.peek(), minProb: minProb.peek() };
  }

  /** The least mass or probability has changed. */
  refilter(): void {
    this.relayout();
    this.finder.again();
    this.markHits();
  }

  /** The run has changed. */
  grown(): void {
    if (this.timer !== undefined) return;
    // A large run leaves time for other things as well.
    const wait = Math.max(RELAYOUT_EVERY, 4 * this.layoutMs) - (performance.now() - this.laidOut);
    this.timer = setTimeout(
      () => {
        this.timer = undefined;
        this.relayout();
      },
      Math.max(0, wait),
    );
  }

  setShares(shares: Shares): void {
    this.kept.shares = shares;
    this.relayout();
  }

  // Zoom to a box

  /** Renormalises to the box of a node. */
  zoomTo(n: number): void {
    const { zooms } = this.kept;
    const first = this.firstOf(n);
    while (zooms.length > 1 && !(zooms.at(-1)! < first && this.run.isAncestor(zooms.at(-1)!, first))) zooms.pop();
    if (first !== ROOT) zooms.push(first);
    this.rezoomed();
  }

  /** Back to one of the boxes of the breadcrumb, or to the one before. */
  zoomOut(to = this.kept.zooms.length - 2): void {
    if (to < 0 || to >= this.kept.zooms.length - 1) return;
    this.kept.zooms.length = to + 1;
    this.rezoomed();
  }

  private rezoomed(): void {
    this.camera = { ...this.camera, x: 0, y: 0, ky: 1 };
    this.relayout();
  }

  /** The first node of the segment of a node, whether it is laid out or not. */
  private firstOf(n: number): number {
    const i = this.layout.boxOf[n] ?? NONE;
    if (i !== NONE) return this.layout.first[i]!;
    let at = n;
    while (at > ROOT) {
      const above = this.run.parent.get(at);
      if (above === ROOT || this.run.children.get(above) !== 1) break;
      at = above;
    }
    return at;
  }

  // Camera

  private get window(): Window {
    return { width: this.width, height: this.height, end: this.layout.end[0]!, cell: this.look.cell };
  }

  moveTo(c: Camera): void {
    this.camera = inside(c, this.window);
    this.invalidate();
  }

  /** Moves what is seen by pixels. */
  pan(dx: number, dy: number): void {
    const c = this.camera;
    this.moveTo({ ...c, x: c.x + dx / c.kx, y: c.y + dy / (c.ky * Math.max(1, this.height)) });
  }

  /** Zooms along the text; what is at pixel `at` stays there. */
  zoomX(factor: number, at = 0): void {
    this.moveTo(zoomedX(this.camera, factor, at, this.window));
  }

  /** Zooms across the text. */
  zoomY(factor: number, at: number): void {
    this.moveTo(zoomedY(this.camera, factor, at, this.window));
  }

  /** Text at its natural width, from the beginning. */
  reset(): void {
    this.moveTo({ x: 0, y: 0, kx: this.look.cell, ky: 1 });
  }

  /** All of the text, however small. */
  fit(): void {
    this.moveTo({ x: 0, y: 0, kx: 0, ky: 1 });
  }

  // Places

  /** Cells and share at a pixel. */
  at(px: number, py: number): { x: number; y: number } {
    const c = this.camera;
    return { x: c.x + px / c.kx, y: c.y + py / (c.ky * Math.max(1, this.height)) };
  }

  hit(px: number, py: number): Hit | null {
    const { x, y } = this.at(px, py);
    return hit(this.layout, x, y, 1 / (this.camera.ky * Math.max(1, this.height)));
  }

  /** The token at a pixel, NONE where there is none. */
  nodeAt(px: number, py: number): number {
    const h = this.hit(px, py);
    return h?.part === 'box' ? nodeAt(this.run, this.layout, h.index, this.at(px, py).x) : NONE;
  }

  /** Moves the selection to the parent, the best child, or a sibling; returns the selected box. */
  step(to: 'parent' | 'child' | 'before' | 'after'): number {
    const { run } = this;
    const first = this.firstOf(selected.peek());
    let next = NONE;
    if (to === 'parent') next = first === ROOT ? NONE : this.firstOf(run.parent.get(first));
    else if (to === 'child') {
      let last = first;
      if (last !== ROOT) while (run.children.get(last) === 1) last = run.firstChild.get(last);
      next = run.best(last);
    } else if (first !== ROOT) {
      let before = NONE;
      for (const c of run.childrenOf(run.parent.get(first))) {
        if (c === first) {
          next = to === 'before' ? before : run.nextSibling.get(c);
          break;
        }
        before = c;
      }
    }
    // What is left out cannot be gone to.
    if (next === NONE || isLeftOut(run, next, this.filters)) return NONE;
    select(next);
    return this.reveal(next);
  }

  // Search

  search(): void {
    this.finder.search();
    this.markHits();
  }

  /** Goes to the next hit (1) or the one before (-1); the first node of its segment, or NONE. */
  searchStep(by: 1 | -1): number {
    const n = this.finder.step(by);
    if (n === NONE) return NONE;
    const i = this.reveal(n);
    const height = (this.layout.y1[i]! - this.layout.y0[i]!) * this.camera.ky * this.height;
    // Too narrow to be read.
    if (!(height >= READABLE)) this.zoomTo(n);
    this.markHits();
    return n;
  }

  private markHits(): void {
    const { hits } = this.finder.found.peek();
    const { boxOf, parent, count } = this.layout;
    this.hits = hits.length > 0 ? new Uint8Array(count) : null;
    for (const n of hits) {
      let i = boxOf[n] ?? NONE;
      if (i === NONE) continue;
      this.hits![i] = HIT;
      for (i = parent[i]!; i !== NONE && this.hits![i] === 0; i = parent[i]!) this.hits![i] = ABOVE_HIT;
    }
    this.invalidate();
  }

  /** Brings a node's box into view, zooming out as far as needed. */
  reveal(n: number): number {
    const { zooms } = this.kept;
    let out = zooms.length - 1;
    while (out > 0 && !this.run.isAncestor(zooms[out]!, n)) out--;
    if (out < zooms.length - 1) this.zoomOut(out);
    const l = this.layout;
    const i = l.boxOf[n] ?? NONE;
    if (i === NONE) return NONE;
    const box = { x0: l.x0[i]!, x1: l.x1[i]!, y0: l.y0[i]!, y1: l.y1[i]! };
    this.moveTo(showing(this.camera, box, this.width));
    return i;
  }
}
