// Series and histograms of a run, and how they become lines of a chart.

import { BITS, surprisal } from './metrics';
import { NONE, ROOT, type Run, State } from './run';

/** Numbers of the tokens of a path; NaN where one is not known. */
export interface PathSeries {
  nodes: readonly number[];
  /** Bits. */
  surprisal: Float64Array;
  /** Bits, of the step that chose the token. */
  entropy: Float64Array;
  /** 1 is the most likely. */
  rank: Float64Array;
}

/** What is cut has no place on a scale. */
const finiteSurprisal = (run: Run, n: number): number => (run.isCut(n) ? Number.NaN : surprisal(run, n));

export function pathSeries(run: Run, nodes: readonly number[]): PathSeries {
  const make = (f: (n: number) => number) => Float64Array.from(nodes, f);
  return {
    nodes,
    surprisal: make((n) => finiteSurprisal(run, n)),
    entropy: make((n) => run.entropy.get(run.parent.get(n)) * BITS),
    rank: make((n) => run.rank(n)),
  };
}

/** What the strategy looked at, in the order of expansion. */
export interface SearchSeries {
  nodes: Int32Array;
  threshold: Float64Array;
  queue: Float64Array;
}

/** Place of a node in the order of expansion, -1 if it was not expanded by the strategy. */
export function indexOfNode({ nodes }: SearchSeries, n: number): number {
  let [a, b] = [0, nodes.length];
  while (a < b) {
    const mid = (a + b) >>> 1;
    if (nodes[mid]! < n) a = mid + 1;
    else b = mid;
  }
  return nodes[a] === n ? a : -1;
}

/** Null for a run without thresholds. */
export function searchSeries(run: Run): SearchSeries | null {
  const nodes: number[] = [];
  for (let n = 0; n < run.size; n++) {
    // What the user went on from has no threshold, and did not happen in this order.
    if (run.state.get(n) === State.Expanded && !Number.isNaN(run.threshold.get(n))) nodes.push(n);
  }
  if (nodes.length === 0) return null;
  return {
    nodes: Int32Array.from(nodes),
    threshold: Float64Array.from(nodes, (n) => run.threshold.get(n)),
    queue: Float64Array.from(nodes, (n) => run.queue.get(n)),
  };
}

/** Surprisals of all tokens of the tree, in bits. */
export function treeSurprisals(run: Run): Float64Array {
  const out = new Float64Array(Math.max(0, run.size - 1));
  for (let n = ROOT + 1; n < run.size; n++) out[n - 1] = finiteSurprisal(run, n);
  return out;
}

export interface Histogram {
  /** Width of a bin. */
  width: number;
  /** The last bin holds all that is greater, too. */
  counts: Float64Array;
  total: number;
}

/** Counts values of 0 and more; NaN is not counted. */
export function histogram(values: ArrayLike<number>, width: number, bins: number): Histogram {
  const counts = new Float64Array(bins);
  let total = 0;
  for (let i = 0; i < values.length; i++) {
    const v = values[i]!;
    if (Number.isNaN(v)) continue;
    // A logprob of +1e-9 is rounding, not a token before the first bin.
    const bin = Math.min(bins - 1, Math.max(0, Math.floor(v / width)));
    counts[bin] = counts[bin]! + 1;
    total++;
  }
  return { width, counts, total };
}

/** Indices that stay when a curve has more points than can be seen: of each stretch the least and the greatest. */
export function decimate(values: ArrayLike<number>, most: number): number[] {
  const n = values.length;
  if (n <= most) return Array.from({ length: n }, (_, i) => i);
  const stretches = Math.max(1, Math.floor((most - 2) / 2));
  const out = [0];
  const add = (i: number) => {
    if (i > out[out.length - 1]!) out.push(i);
  };
  for (let s = 0; s < stretches; s++) {
    const from = Math.floor((s * n) / stretches);
    const to = Math.floor(((s + 1) * n) / stretches);
    let low = -1;
    let high = -1;
    for (let i = from; i < to; i++) {
      const v = values[i]!;
      if (Number.isNaN(v)) continue;
      if (low < 0 || v < values[low]!) low = i;
      if (high < 0 || v > values[high]!) high = i;
    }
    // A stretch without any value is a gap of the curve, and must stay one.
    if (low < 0) add(from);
    else {
      add(Math.min(low, high));
      add(Math.max(low, high));
    }
  }
  add(n - 1);
  return out;
}

/** Points above this are decimated. */
export const MOST_POINTS = 1500;

/** SVG path of a curve through the points that are known; alone between gaps, a point is a dot. */
export function linePath(values: ArrayLike<number>, x: (i: number) => number, y: (v: number) => number): string {
  const out: string[] = [];
  let stretch = 0;
  let [px, py] = ['', ''];
  // A line of no length with round caps is a dot.
  const close = () => {
    if (stretch === 1) out.push(`L${px} ${py}`);
    stretch = 0;
  };
  for (const i of decimate(values, MOST_POINTS)) {
    const v = values[i]!;
    if (!Number.isFinite(v)) {
      close();
      continue;
    }
    px = x(i).toFixed(1);
    py = y(v).toFixed(1);
    out.push(`${stretch === 0 ? 'M' : 'L'}${px} ${py}`);
    stretch++;
  }
  close();
  return out.join('');
}

/** SVG path of the outline of a histogram's bars. */
export function stepPath(heights: ArrayLike<number>, x: (edge: number) => number, y: (v: number) => number): string {
  const out = [`M${x(0).toFixed(1)} ${y(0).toFixed(1)}`];
  for (let i = 0; i < heights.length; i++) {
    const at = y(heights[i]!).toFixed(1);
    out.push(`L${x(i).toFixed(1)} ${at}L${x(i + 1).toFixed(1)} ${at}`);
  }
  out.push(`L${x(heights.length).toFixed(1)} ${y(0).toFixed(1)}`);
  return out.join('');
}

/** Greatest of the known values, or `least`. */
export function greatest(values: ArrayLike<number>, least: number): number {
  let out = least;
  for (let i = 0; i < values.length; i++) {
    const v = values[i]!;
    if (v > out && v !== Number.POSITIVE_INFINITY) out = v;
  }
  return out;
}

/** About `most` round numbers from `lo` to `hi`; whole ones if asked. */
export function ticks(lo: number, hi: number, most: number, whole = false): number[] {
  if (!(hi > lo)) return [lo];
  const rough = (hi - lo) / Math.max(1, most);
  const power = 10 ** Math.floor(Math.log10(rough));
  let step = power * ([1, 2, 5, 10].find((f) => f * power >= rough * (1 - 1e-9)) ?? 10);
  if (whole) step = Math.max(1, Math.round(step));
  const out: number[] = [];
  const from = Math.ceil(lo / step - 1e-9);
  // Counting steps, not adding them up: 0.1 + 0.2 is not a round number.
  for (let k = from; k * step <= hi * (1 + 1e-9); k++) out.push(Number((k * step).toPrecision(12)));
  return out;
}

/** 1, 10, 100, … up to a power that is not less than `hi`. */
export function logTicks(hi: number): number[] {
  const out = [1, 10];
  while (out[out.length - 1]! < hi) out.push(out[out.length - 1]! * 10);
  return out;
}

/** Ways along a path. */
export type Step = 'before' | 'after' | 'first' | 'last';

/** The node of a path before or after another one; NONE for a path without nodes. */
export function neighbour(run: Run, nodes: readonly number[], from: number, to: Step): number {
  // The prompt is before the first.
  const i = Math.min(nodes.length, run.depth.get(from)) - 1;
  switch (to) {
    case 'before':
      return nodes[Math.max(0, i - 1)] ?? NONE;
    case 'after':
      return nodes[Math.min(nodes.length - 1, i + 1)] ?? NONE;
    case 'first':
      return nodes[0] ?? NONE;
    case 'last':
      return nodes.at(-1) ?? NONE;
  }
}

/** Index of the path's token nearest to a place from 0 to 1 along the axis; -1 if there is none. */
export const indexAt = (place: number, length: number): number =>
  length === 0 ? -1 : Math.min(length - 1, Math.max(0, Math.round(place * (length - 1))));
