// The state of a tree view: layout, camera, what is collapsed, and when it is drawn.

import { signal } from '@preact/signals';
import { nearest } from '../../lib/layout/cull';
import {
  firstBranching,
  layoutTree,
  preorder,
  segmentAt,
  type TreeFilters,
  type TreeLayout,
} from '../../lib/layout/tree';
import { strengthOf } from '../../lib/colours';
import { level, metricOf } from '../../lib/metrics';
import { NONE, ROOT, type Run, State } from '../../lib/run';
import { SvgCanvas } from '../../lib/svg-canvas';
import { hovered, leaf, marks, metric, minMass, minProb, selected } from '../../state/store';
import { atFirst, type Camera, placeAt, scaleX, scaleY } from './camera';
import { drawTree } from './draw';
import { Minimap } from './minimap';
import { CUT, promptShade, shadeOf } from './picture';
import { Finder } from './finder';
import { readTheme, type Theme } from './theme';
import { Viewport } from './viewport';
import { Labels } from './words';

/** A growing run is laid out anew at most this often, in milliseconds. */
const RELAYOUT_EVERY = 100;
/** Most boxes of one picture, the room around them, and that for what stands beside the last. */
const MOST_DRAWN = 4000;
const EDGE = 24;
const BESIDE = 60;
/** What is gone to is shown at least this large. */
const READABLE = 0.6;

/** What of a view is kept while another is shown. */
interface Kept {
  collapsed: Set<number>;
  pruned: Set<number>;
  camera: Camera | null;
}
const KEPT = new WeakMap<Run, Kept>();

export class Scene extends Viewport {
  drawMs = 0;
  /** For the toolbar. */
  readonly shown = signal({ segments: 0, hidden: 0, pruned: 0 });
  readonly finder: Finder;

  private readonly kept: Kept;
  private readonly map: Minimap;
  private theme: Theme;
  private labels!: Labels;
  private shade = new Uint8Array(0);
  private hits: Uint8Array | null = null;
  private frame = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private laidOut = 0;

  constructor(
    readonly run: Run,
    private readonly canvas: HTMLCanvasElement,
    map: HTMLCanvasElement,
  ) {
    super();
    this.kept = KEPT.get(run) ?? { collapsed: new Set(), pruned: new Set(), camera: null };
    KEPT.set(run, this.kept);
    this.finder = new Finder(run, () => this.filters);
    this.map = new Minimap(map);
    this.theme = readTheme(canvas);
    this.relabel();
    this.relayout();
  }

  dispose(): void {
    cancelAnimationFrame(this.frame);
    clearTimeout(this.timer);
    if (this.width > 0) this.kept.camera = this.camera;
  }

  get filters(): TreeFilters {
    const { collapsed, pruned } = this.kept;
    return { collapsed, pruned, minMass: minMass.peek(), minProb: minProb.peek() };
  }

  /** The first node of a segment. */
  firstOf = (index: number): number => this.layout.first[index] ?? ROOT;

  /** The segment that shows a node. */
  indexOf = (n: number): number => (n < 0 || n >= this.run.size ? NONE : segmentAt(this.layout, this.run, n));

  // Drawing

  override invalidate(): void {
    if (this.frame !== 0) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      this.draw();
    });
  }

  resize(width: number, height: number): void {
    const before = this.width;
    this.width = width;
    this.height = height;
    if (before === 0 && width > 0) {
      if (this.kept.camera) this.moveTo(this.kept.camera);
      else this.moveTo(atFirst(this.layout, width, height, this.indexOf(leaf.peek())));
    }
    this.invalidate();
  }

  retheme(): void {
    this.theme = readTheme(this.canvas);
    this.map.forget();
    this.relabel();
  }

  /** Texts are others: marks were turned on, or the font has changed. */
  relabel(): void {
    const measure = document.createElement('canvas').getContext('2d');
    if (measure) measure.font = `12px ${this.theme.sans}`;
    this.labels = new Labels((text) => measure?.measureText(text).width ?? 7 * text.length, marks.peek());
    this.invalidate();
  }

  /** Colours are others. */
  reshade(): void {
    const { layout, run } = this;
    const m = metric.peek();
    this.shade = new Uint8Array(layout.count);
    for (let i = 0; i < layout.count; i++) {
      const first = layout.first[i]!;
      const x = level(m, metricOf(run, first, m));
      this.shade[i] = run.isCut(first) ? CUT : shadeOf(x, strengthOf(run.pathLogprobOf(first)));
    }
    promptShade(this.shade);
    this.map.forget();
    this.invalidate();
  }

  private draw(): void {
    const ctx = this.canvas.getContext('2d');
    if (!ctx || this.width === 0) return;
    const began = performance.now();
    const dpr = devicePixelRatio || 1;
    const [w, h] = [Math.round(this.width * dpr), Math.round(this.height * dpr)];
    if (this.canvas.width !== w || this.canvas.height !== h) {
      this.canvas.width = w;
      this.canvas.height = h;
    }
    ctx.setTransform(dpr, 0, 0, dpr, 0, 0);
    drawTree(ctx, {
      ...this.scenery,
      camera: this.camera,
      width: this.width,
      height: this.height,
      labels: this.labels,
      pathEnd: this.indexOf(leaf.peek()),
      selected: this.indexOf(selected.peek()),
      hovered: hovered.peek() === NONE ? NONE : this.indexOf(hovered.peek()),
      currentHit: this.indexOf(this.finder.current),
      hits: this.hits,
    });
    this.map.draw(this.scenery, this.camera, this.width, this.height);
    this.drawMs = performance.now() - began;
  }

  /** The tree as SVG: all that is not folded or left out if that is not too much for one picture, else what the window shows. */
  picture(): { svg: string; whole: boolean } {
    const whole = this.layout.count <= MOST_DRAWN;
    const width = whole ? this.layout.width + 2 * EDGE + BESIDE : this.width;
    const height = whole ? this.layout.height + 2 * EDGE : this.height;
    const measure = document.createElement('canvas').getContext('2d');
    const ctx = new SvgCanvas(width, height, (text, font) => {
      if (measure) measure.font = font;
      return measure?.measureText(text) ?? ({ width: 7 * text.length } as TextMetrics);
    });
    drawTree(ctx, {
      ...this.scenery,
      camera: whole ? { x: -EDGE, y: -EDGE, zoom: 1, squeeze: 1 } : this.camera,
      width,
      height,
      labels: this.labels,
      pathEnd: this.indexOf(leaf.peek()),
      selected: NONE,
      hovered: NONE,
      currentHit: NONE,
      hits: this.hits,
    });
    return { svg: ctx.svg(), whole };
  }

  private get scenery() {
    return { run: this.run, layout: this.layout, shade: this.shade, theme: this.theme };
  }

  // Layout

  /** The run has grown. */
  grown(): void {
    if (this.timer !== undefined) return;
    const wait = Math.max(0, this.laidOut + RELAYOUT_EVERY - performance.now());
    this.timer = setTimeout(() => {
      this.timer = undefined;
      this.relayout();
    }, wait);
  }

  /** The least mass or probability has changed. */
  refilter(): void {
    this.relayout();
    this.finder.again();
    this.markHits();
  }

  /** Lays out anew. `fixed` (a first node), or what is nearest to the middle, stays where it is on the screen. */
  relayout(fixed?: number): void {
    const before = this.layout as TreeLayout | undefined;
    const c = this.camera;
    const [kx, ky] = [scaleX(c), scaleY(c)];
    let still = NONE;
    if (before && this.width > 0) {
      still =
        fixed === undefined
          ? nearest(before, c.x + this.width / 2 / kx, c.y + this.height / 2 / ky, kx, ky)
          : segmentAt(before, this.run, fixed);
    }
    this.layout = layoutTree(this.run, this.filters);
    this.laidOut = performance.now();
    if (before && still !== NONE) {
      const now = segmentAt(this.layout, this.run, before.first[still]!);
      // If it is gone, what took its place comes to where it was.
      const x = before.levelX[before.level[still]!]! - this.layout.levelX[this.layout.level[now]!]!;
      this.moveTo({ ...c, x: c.x - x, y: c.y + this.layout.y[now]! - before.y[still]! });
    }
    this.shown.value = {
      segments: this.layout.count,
      hidden: this.layout.hiddenNodes,
      pruned: this.kept.pruned.size,
    };
    this.reshade();
    this.finder.follow();
    this.markHits();
  }

  isCollapsed = (n: number): boolean => this.kept.collapsed.has(n);

  toggle(index: number): void {
    const n = this.firstOf(index);
    if (this.kept.collapsed.delete(n)) this.relayout(n);
    else if (this.layout.childCount[index]! > 0) {
      this.kept.collapsed.add(n);
      this.relayout(n);
    }
  }

  expandAll(): void {
    this.kept.collapsed.clear();
    this.relayout();
  }

  collapseAll(): void {
    this.kept.collapsed = firstBranching(this.run);
    this.relayout();
    this.fit();
  }

  /** Takes a subtree out of this view; the run keeps it. */
  prune(n: number): void {
    const index = this.indexOf(n);
    const first = this.firstOf(index);
    if (first === ROOT) return;
    this.kept.pruned.add(first);
    this.relayout(this.firstOf(this.layout.parent[index]!));
  }

  unprune(): void {
    this.kept.pruned.clear();
    this.relayout();
  }

  // Camera

  /** Puts a node's segment in the middle, and expands what hides it. */
  goTo(n: number): void {
    let opened = false;
    for (let at = this.run.parent.get(n); at > NONE; at = this.run.parent.get(at)) {
      opened = this.kept.collapsed.delete(at) || opened;
    }
    if (opened) this.relayout();
    const i = this.indexOf(n);
    this.centre(i, Math.max(this.camera.zoom, READABLE));
  }

  /** Moves to a point of the minimap. */
  goToMap(x: number, y: number): void {
    const [wx, wy] = this.map.world(this.scenery, x, y);
    this.moveTo(placeAt(this.camera, wx, wy, this.width / 2, this.height / 2));
  }

  /** Zoom 1 around the selected segment if it is seen, else around the middle. */
  actualSize(): void {
    const [x, y] = this.screenOf(this.indexOf(selected.peek()));
    const seen = x > 0 && y > 0 && x < this.width && y < this.height;
    if (seen) this.zoomTo(1, x, y);
    else this.zoomTo(1);
  }

  // What is where

  /** Open leaves in the window, most massive first. */
  frontier(most: number): number[] {
    const out: number[] = [];
    for (const i of preorder(this.layout)) {
      const n = this.layout.last[i]!;
      if (this.run.state.get(n) !== State.Open) continue;
      const [x, y] = this.screenOf(i);
      if (x >= 0 && y >= 0 && x <= this.width && y <= this.height) out.push(n);
    }
    const { pathLogprob } = this.run;
    return out.sort((a, b) => pathLogprob.get(b) - pathLogprob.get(a)).slice(0, most);
  }

  // Search

  search(): void {
    this.finder.search();
    this.markHits();
  }

  searchStep(by: 1 | -1): number {
    const n = this.finder.step(by);
    if (n !== NONE) this.goTo(n);
    this.markHits();
    return n;
  }

  private markHits(): void {
    const { hits } = this.finder.found.peek();
    this.hits = null;
    if (hits.length > 0) {
      this.hits = new Uint8Array(this.layout.count);
      // A hit in what is collapsed marks where it would be found.
      for (const n of hits) this.hits[this.indexOf(n)] = 1;
    }
    this.invalidate();
  }
}
