import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { boxesBetween, linksBetween, nearest, nearestInLevel, PixelColumn } from '../src/lib/layout/cull';
import {
  boxHeightOf,
  firstBranching,
  isLeftOut,
  layoutTree,
  NO_FILTERS,
  preorder,
  ROW,
  segmentAt,
  type TreeFilters,
  type TreeLayout,
} from '../src/lib/layout/tree';
import { NONE, ROOT, type Run } from '../src/lib/run';
import { segments } from '../src/lib/segments';
import { boxHeight, fit, scaleX, scaleY, zoomAt } from '../src/views/tree/camera';
import { search } from '../src/views/tree/finder';
import { dump } from '../src/views/tree/words';
import { emptyRun } from './empty-run';

/** Expands a node, with children of the given weights (they sum to less than 1). */
function expand(run: Run, node: number, weights: number[]): void {
  run.feed({ type: 'expand', node, queue: 0, entropy: 1, varentropy: 0, top: [], children: weights.length });
  const sum = weights.reduce((a, b) => a + b, 0) * 1.01;
  weights.forEach((w, id) => {
    run.feed({ type: 'node', node: run.size, parent: node, id, text: `t${id}`, logprob: Math.log(w / sum) });
  });
}

/** Expands the open node chosen by each step. */
function grow(run: Run, steps: { at: number; weights: number[] }[], open: number[] = [ROOT]): number[] {
  for (const { at, weights } of steps) {
    if (open.length === 0) break;
    const node = open.splice(at % open.length, 1)[0]!;
    const from = run.size;
    expand(run, node, weights);
    for (let n = from; n < run.size; n++) open.push(n);
  }
  return open;
}

const step = fc.record({
  at: fc.nat(1000),
  weights: fc.oneof(
    fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1, maxLength: 1 }),
    fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1, maxLength: 6 }),
  ),
});
const steps = fc.array(step, { maxLength: 80 });
const cuts = fc.record({
  collapsed: fc.array(fc.nat(300), { maxLength: 10 }).map((a) => new Set(a)),
  pruned: fc.array(fc.integer({ min: 1, max: 300 }), { maxLength: 4 }).map((a) => new Set(a)),
  minMass: fc.constantFrom(0, 0, 1e-4, 0.01, 0.2),
  minProb: fc.constantFrom(0, 0, 0.05, 0.3),
});

const build = (s: { at: number; weights: number[] }[]): Run => {
  const run = emptyRun();
  grow(run, s);
  return run;
};

/** The first nodes that should be shown, by following segments() from the prompt. */
function expected(run: Run, f: TreeFilters): Set<number> {
  const all = segments(run);
  const out = new Set<number>();
  const shown = new Uint8Array(all.length);
  all.forEach((s, i) => {
    const p = all[s.parent];
    if (p && (shown[s.parent] === 0 || f.collapsed.has(p.first) || isLeftOut(run, s.first, f))) return;
    shown[i] = 1;
    out.add(s.first);
  });
  return out;
}

function checkGeometry(l: TreeLayout): void {
  for (let level = 0; level < l.levels; level++) {
    for (let i = l.levelStart[level]!; i < l.levelStart[level + 1]!; i++) {
      if (l.level[i] !== level) throw new Error(`segment ${i} is not of level ${level}`);
      if (i > l.levelStart[level]! && l.y[i]! - l.y[i - 1]! < (boxHeightOf(l, i) + boxHeightOf(l, i - 1)) / 2)
        throw new Error(`${i} overlaps`);
    }
  }
  for (let i = 0; i < l.count; i++) {
    const [c, n] = [l.childStart[i]!, l.childCount[i]!];
    if (l.y[i]! < boxHeightOf(l, i) / 2 || l.y[i]! > l.height - boxHeightOf(l, i) / 2)
      throw new Error(`${i} is outside`);
    if (n === 0) continue;
    if (l.y[i]! < l.y[c]! || l.y[i]! > l.y[c + n - 1]!) throw new Error(`${i} is not between its children`);
    for (let k = c; k < c + n; k++) {
      if (l.parent[k] !== i) throw new Error(`${k} is not a child of ${i}`);
      if (l.levelX[l.level[k]!]! < l.levelX[l.level[i]!]! + l.boxWidth[i]!)
        throw new Error(`${k} is not right of ${i}`);
    }
  }
}

describe('layout of the tree', () => {
  it('shows a run without nodes', () => {
    const l = layoutTree(emptyRun(), NO_FILTERS);
    expect([l.count, l.levels, l.width, l.height, l.y[0]]).toEqual([1, 1, l.boxWidth[0], ROW, ROW / 2]);
  });

  it('shows every segment once when nothing is hidden', () => {
    fc.assert(
      fc.property(steps, (s) => {
        const run = build(s);
        const l = layoutTree(run, NO_FILTERS);
        const all = segments(run);
        expect([...l.first].sort((a, b) => a - b)).toEqual(all.map((x) => x.first).sort((a, b) => a - b));
        const lasts = new Map(all.map((x) => [x.first, x.last]));
        for (let i = 0; i < l.count; i++) expect(l.last[i]).toBe(lasts.get(l.first[i]!));
        expect(l.hiddenNodes).toBe(0);
        expect([...preorder(l)].sort((a, b) => a - b)).toEqual(Array.from({ length: l.count }, (_, i) => i));
      }),
    );
  });

  it('never overlaps, and has parents left of and between their children', () => {
    fc.assert(fc.property(steps, cuts, (s, f) => checkGeometry(layoutTree(build(s), f))));
  });

  it('hides what the filters say, and counts it', () => {
    fc.assert(
      fc.property(steps, cuts, (s, f) => {
        const run = build(s);
        const l = layoutTree(run, f);
        expect(new Set(l.first)).toEqual(expected(run, f));
        let shown = 0;
        for (let n = 0; n < run.size; n++) {
          const i = l.segmentOf[n]!;
          if (i === NONE) continue;
          shown++;
          expect(run.isAncestor(l.first[i]!, n) && run.isAncestor(n, l.last[i]!)).toBe(true);
        }
        expect(shown + l.hiddenNodes).toBe(run.size);
        for (let i = 0; i < l.count; i++) {
          let kept = 0;
          for (let c = l.childStart[i]!; c < l.childStart[i]! + l.childCount[i]!; c++) kept += run.mass(l.first[c]!);
          let whole = 0;
          for (const c of run.childrenOf(l.last[i]!)) whole += run.mass(c);
          expect(kept + l.hiddenMass[i]!).toBeCloseTo(whole, 9);
        }
      }),
    );
  });

  it('keeps what was there in its order while the run grows', () => {
    fc.assert(
      fc.property(steps, steps, (a, b) => {
        const run = emptyRun();
        const open = grow(run, a);
        const before = layoutTree(run, NO_FILTERS);
        const order = [...preorder(before)].map((i) => before.first[i]!);
        grow(run, b, open);
        const after = layoutTree(run, NO_FILTERS);
        const still = new Set(order);
        const now = [...preorder(after)].map((i) => after.first[i]!).filter((n) => still.has(n));
        expect(now).toEqual(order);
      }),
    );
  });

  it('finds the segment that shows a hidden or a later node', () => {
    const run = emptyRun();
    expand(run, 0, [3, 2]);
    expand(run, 1, [3, 2]);
    const l = layoutTree(run, { ...NO_FILTERS, collapsed: new Set([1]) });
    expand(run, 2, [1]);
    expect([0, 1, 2, 3, 4, 5].map((n) => l.first[segmentAt(l, run, n)])).toEqual([0, 1, 2, 1, 1, 2]);
    expect(l.hidden[segmentAt(l, run, 1)]).toBe(2);
  });

  it('collapses to the first place where the text branches', () => {
    const run = emptyRun();
    expand(run, 0, [1]);
    expand(run, 1, [1]);
    expand(run, 2, [3, 2]);
    expand(run, 3, [3, 2]);
    const l = layoutTree(run, { ...NO_FILTERS, collapsed: firstBranching(run) });
    expect([...l.first]).toEqual([0, 1, 3, 4]);
  });
});

describe('what is in a window', () => {
  it('is what a look at every segment finds', () => {
    const at = fc.double({ min: -100, max: 3000, noNaN: true });
    fc.assert(
      fc.property(steps, at, fc.double({ min: 0, max: 800, noNaN: true }), (s, top, tall) => {
        const l = layoutTree(build(s), NO_FILTERS);
        const bottom = top + tall;
        const among = (level: number, f: (i: number) => boolean) => {
          const out: number[] = [];
          for (let i = l.levelStart[level]!; i < l.levelStart[level + 1]!; i++) if (f(i)) out.push(i);
          return out;
        };
        const list = ({ lo, hi }: { lo: number; hi: number }) => Array.from({ length: hi - lo }, (_, k) => lo + k);
        for (let level = 0; level < l.levels; level++) {
          expect(list(boxesBetween(l, level, top, bottom))).toEqual(
            among(level, (i) => l.y[i]! >= top && l.y[i]! <= bottom),
          );
          const near = nearestInLevel(l, level, top);
          expect(Math.abs(l.y[near]! - top)).toBe(
            Math.min(...among(level, () => true).map((i) => Math.abs(l.y[i]! - top))),
          );
          if (level === 0) continue;
          expect(list(linksBetween(l, level, top, bottom))).toEqual(
            among(level, (i) => {
              const [a, b] = [l.y[i]!, l.y[l.parent[i]!]!];
              return Math.max(a, b) >= top && Math.min(a, b) <= bottom;
            }),
          );
        }
      }),
    );
  });

  it('finds the nearest box, also far outside', () => {
    const run = emptyRun();
    expand(run, 0, [3, 2]);
    const l = layoutTree(run, NO_FILTERS);
    expect(nearest(l, -1e6, -1e6, 1, 1)).toBe(0);
    expect(nearest(l, 1e6, 1e6, 1, 1)).toBe(2);
    expect(nearestInLevel(l, 5, 0)).toBe(NONE);
  });

  it('merges pixels: the heaviest is seen, stretches of one shade are one stroke', () => {
    const column = new PixelColumn(10);
    column.add(2, -1, 5);
    column.add(2, -3, 9);
    column.add(3, -2, 5);
    column.add(4, -2, 7);
    column.add(9, -2, 7);
    column.add(12, 0, 1);
    const strokes: number[][] = [];
    column.flush((...s) => strokes.push(s));
    expect(strokes).toEqual([
      [2, 4, 5],
      [4, 5, 7],
      [9, 10, 7],
    ]);
    column.flush((...s) => strokes.push(s));
    expect(strokes.length).toBe(3);
  });
});

describe('the camera', () => {
  const size = fc.integer({ min: 100, max: 3000 });

  it('fits the whole tree', () => {
    fc.assert(
      fc.property(steps, size, size, (s, width, height) => {
        const l = layoutTree(build(s), NO_FILTERS);
        const c = fit(l, width, height);
        const [kx, ky] = [scaleX(c), scaleY(c)];
        expect(Math.max(kx, ky)).toBeLessThanOrEqual(1);
        expect(-c.x * kx).toBeGreaterThanOrEqual(0);
        expect((l.width - c.x) * kx).toBeLessThanOrEqual(width + 1e-6);
        expect(-c.y * ky).toBeGreaterThanOrEqual(-1e-6);
        expect((l.height - c.y) * ky).toBeLessThanOrEqual(height + 1e-6);
      }),
    );
  });

  it('zooms around the point under the cursor', () => {
    const at = fc.double({ min: 0, max: 1000, noNaN: true });
    const zoom = fc.double({ min: 0.02, max: 4, noNaN: true });
    fc.assert(
      fc.property(at, at, zoom, zoom, fc.double({ min: 0, max: 1, noNaN: true }), (sx, sy, before, after, squeeze) => {
        const c = { x: 7, y: -5, zoom: before, squeeze };
        const d = zoomAt(c, sx, sy, after);
        expect(d.x + sx / scaleX(d)).toBeCloseTo(c.x + sx / scaleX(c), 5);
        expect(d.y + sy / scaleY(d)).toBeCloseTo(c.y + sy / scaleY(c), 5);
      }),
    );
  });

  it('draws no box so high that it touches the next', () => {
    fc.assert(
      fc.property(steps, fc.double({ min: 0.01, max: 4, noNaN: true }), (s, ky) => {
        const l = layoutTree(build(s), NO_FILTERS);
        for (let i = 1; i < l.count; i++) {
          if (l.level[i] !== l.level[i - 1]) continue;
          const [above, below] = [boxHeight(l, i - 1, 1, ky), boxHeight(l, i, 1, ky)];
          expect((above + below) / 2).toBeLessThan((l.y[i]! - l.y[i - 1]!) * ky);
        }
      }),
    );
  });
});

describe('search and dump', () => {
  const run = emptyRun();
  expand(run, 0, [3, 2]);
  expand(run, 1, [4, 3]);
  expand(run, 4, [1]);

  it('finds texts within segments and over their borders, top to bottom', () => {
    expect(search(run, 'T1', NO_FILTERS)).toEqual([4, 2]);
    expect(search(run, 't0t1', NO_FILTERS)).toEqual([4]);
    expect(search(run, 'pt0t1t0', NO_FILTERS)).toEqual([4]);
    expect(search(run, 'nothing', NO_FILTERS)).toEqual([]);
    expect(search(run, '', NO_FILTERS)).toEqual([]);
  });

  it('does not search what filters hide, but what is collapsed', () => {
    expect(search(run, 't1', { ...NO_FILTERS, collapsed: new Set([1]) })).toEqual([4, 2]);
    expect(search(run, 't1', { ...NO_FILTERS, pruned: new Set([1]) })).toEqual([2]);
  });

  it('writes what is drawn', () => {
    expect(dump(run, layoutTree(run, NO_FILTERS))).toBe(
      ['"p"', '  "t0" 59.4 %', '    "t0" 56.6 % ○', '    "t1t0" 42.4 % ○', '  "t1" 39.6 % ○'].join('\n'),
    );
    expect(dump(run, layoutTree(run, { ...NO_FILTERS, collapsed: new Set([1]) }))).toBe(
      ['"p"', '  "t0" 59.4 % +3', '  "t1" 39.6 % ○'].join('\n'),
    );
  });
});

describe('size', () => {
  it('lays out a chain of 100,000 tokens', () => {
    const run = emptyRun();
    for (let n = 0; n < 100_000; n++) expand(run, n, [1]);
    const l = layoutTree(run, NO_FILTERS);
    expect([l.count, l.last[1]]).toEqual([2, 100_000]);
  });

  it('lays out a tree that branches 50,000 times one below the other', () => {
    const run = emptyRun();
    for (let n = 0; n < 50_000; n++) expand(run, n === 0 ? 0 : 2 * n - 1, [3, 2]);
    const l = layoutTree(run, NO_FILTERS);
    expect([l.count, l.levels]).toEqual([100_001, 50_001]);
    checkGeometry(l);
  });

  it('lays out a random tree of 50,000 nodes at once', () => {
    const run = emptyRun();
    let seed = 1;
    const random = () => {
      seed = (seed * 1103515245 + 12345) % 2147483648;
      return seed / 2147483648;
    };
    const open = [0];
    while (run.size < 50_000) {
      const node = open.splice(Math.floor(random() * Math.min(open.length, 200)), 1)[0]!;
      const from = run.size;
      const many = random() < 0.4 ? 1 : 2 + Math.floor(random() * 6);
      expand(
        run,
        node,
        Array.from({ length: many }, () => 1 + Math.floor(random() * 50)),
      );
      for (let n = from; n < run.size; n++) open.push(n);
    }
    layoutTree(run, NO_FILTERS);
    const began = performance.now();
    const l = layoutTree(run, NO_FILTERS);
    const took = performance.now() - began;
    checkGeometry(l);
    // Generous: shared machines stall.
    expect(took).toBeLessThan(250);
  });
});
