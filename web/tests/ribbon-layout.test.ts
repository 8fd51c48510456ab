import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  cells,
  hit,
  layoutRibbon,
  nodeAt,
  PAD_CELLS,
  preorder,
  type RibbonLayout,
  rests,
} from '../src/lib/layout/ribbon';
import { NONE, ROOT, type Run, State } from '../src/lib/run';
import { segments } from '../src/lib/segments';
import { accountOf } from '../src/views/ribbon/account';
import { inside, showing, zoomedX, zoomedY } from '../src/views/ribbon/camera';
import { emptyRun } from './empty-run';

/** Expands a node, with children of the given probabilities. */
function expand(run: Run, node: number, probabilities: number[]): void {
  run.feed({ type: 'expand', node, queue: 0, entropy: 1, varentropy: 0, top: [], children: probabilities.length });
  probabilities.forEach((p, id) => {
    run.feed({
      type: 'node',
      node: run.size,
      parent: node,
      id,
      text: 'abcdefgh'.slice(0, 1 + (id % 8)),
      logprob: Math.log(p),
    });
  });
}

const step = fc.record({
  at: fc.nat(1000),
  weights: fc.array(fc.integer({ min: 1, max: 1000 }), { minLength: 0, maxLength: 6 }),
  kept: fc.constantFrom(1, 0.9, 0.3, 1e-6),
  stop: fc.constantFrom(null, null, 'end_token' as const, 'max_depth' as const, 'pruned' as const),
});

const grown = fc.array(step, { maxLength: 60 }).map((steps) => {
  const run = emptyRun('prompt');
  const open = [ROOT];
  for (const { at, weights, kept, stop } of steps) {
    if (open.length === 0) break;
    const node = open.splice(at % open.length, 1)[0]!;
    if (stop && node !== ROOT) {
      run.feed({ type: 'stop', node, reason: stop });
      continue;
    }
    const from = run.size;
    const sum = weights.reduce((a, b) => a + b, 0);
    expand(
      run,
      node,
      weights.map((w) => (w / sum) * kept),
    );
    for (let n = from; n < run.size; n++) open.push(n);
  }
  return run;
});

const TINY = 1e-9;

function check(run: Run, l: RibbonLayout): void {
  const zoomed = run.pathLogprob.get(l.zoom);
  for (let i = 0; i < l.count; i++) {
    const [from, n] = [l.childStart[i]!, l.childCount[i]!];
    expect(l.y0[i]).toBeLessThanOrEqual(l.y1[i]!);
    expect(l.x1[i]).toBeGreaterThan(l.x0[i]!);
    expect(l.end[i]).toBeGreaterThanOrEqual(l.x1[i]!);
    if (l.shares === 'true') {
      const mass = Math.exp(run.pathLogprob.get(l.first[i]!) - zoomed);
      expect(Math.abs(l.y1[i]! - l.y0[i]! - mass)).toBeLessThan(TINY);
    }
    let x = l.x0[i]!;
    for (let node = l.first[i]!; ; node = run.firstChild.get(node)) {
      expect(l.nodeX[node]).toBeGreaterThanOrEqual(x);
      expect(l.boxOf[node]).toBe(i);
      x = l.nodeX[node]! + 1;
      if (node === l.last[i]) break;
    }
    expect(l.x1[i]).toBeGreaterThanOrEqual(x);
    if (n === 0) continue;
    let sum = 0;
    let y = l.y0[i]!;
    for (let c = from; c < from + n; c++) {
      expect(l.parent[c]).toBe(i);
      expect(l.x0[c]).toBe(l.x1[i]);
      expect(l.end[c]).toBeLessThanOrEqual(l.end[i]!);
      // Side by side: inside the parent, and not over each other.
      expect(l.y0[c]).toBeGreaterThanOrEqual(y);
      y = l.y1[c]!;
      sum += l.share[c]!;
    }
    expect(y).toBeLessThanOrEqual(l.y1[i]!);
    if (l.shares === 'explored') {
      expect(y).toBe(l.y1[i]);
      expect(sum).toBeCloseTo(1, 9);
    } else {
      expect(sum).toBeCloseTo(1 - l.pruned[i]! - l.hidden[i]!, 9);
    }
  }
}

describe('layoutRibbon', () => {
  it('puts children inside their parents, side by side, with shares that add up', () => {
    fc.assert(
      fc.property(grown, fc.nat(1000), fc.constantFrom('explored' as const, 'true' as const), (run, at, shares) => {
        const all = segments(run);
        const l = layoutRibbon(run, all, all[at % all.length]!.first, shares);
        expect(l.zoom).toBe(all[at % all.length]!.first);
        check(run, l);
      }),
    );
  });

  it('has every segment once, in the order of the run', () => {
    fc.assert(
      fc.property(grown, (run) => {
        const all = segments(run);
        const l = layoutRibbon(run, all, ROOT, 'explored');
        expect([...l.first]).toEqual(all.map((s) => s.first));
        expect([...l.last]).toEqual(all.map((s) => s.last));
        expect(preorder(l).sort((a, b) => a - b)).toEqual(all.map((_, i) => i));
      }),
    );
  });

  it('leaves nothing out: what is finished, open and pruned is the whole', () => {
    fc.assert(
      fc.property(grown, (run) => {
        const l = layoutRibbon(run, segments(run), ROOT, 'true');
        const sums = { open: 0, pruned: 0 };
        for (let i = 0; i < l.count; i++) {
          const mass = run.mass(l.first[i]!);
          sums.open += mass * l.open[i]!;
          sums.pruned += mass * l.pruned[i]!;
        }
        const account = run.accounting();
        expect(sums.open).toBeCloseTo(account.frontier, 9);
        expect(sums.pruned).toBeCloseTo(account.pruned, 9);
      }),
    );
  });

  it('leaves out what is less than asked for, and what follows it, but counts its mass', () => {
    const least = fc.record({ minMass: fc.constantFrom(0, 0.001, 0.1), minProb: fc.constantFrom(0, 0.05, 0.5) });
    fc.assert(
      fc.property(grown, least, fc.constantFrom('explored' as const, 'true' as const), (run, filter, shares) => {
        const all = segments(run);
        const l = layoutRibbon(run, all, ROOT, shares, filter);
        check(run, l);
        const isShown = (n: number) => run.mass(n) >= filter.minMass && run.probOf(n) >= filter.minProb;
        const shown = new Set([NONE]);
        for (const [i, s] of all.entries()) if (shown.has(s.parent) && (i === 0 || isShown(s.first))) shown.add(i);
        shown.delete(NONE);
        expect([...l.first]).toEqual([...shown].map((i) => all[i]!.first));
        expect(l.total).toBe(all.length);
        const sums = { open: 0, pruned: 0, hidden: 0, ends: 0 };
        for (let i = 0; i < l.count; i++) {
          const mass = run.mass(l.first[i]!);
          for (const part of ['open', 'pruned', 'hidden'] as const) sums[part] += mass * l[part][i]!;
          if (run.state.get(l.last[i]!) === State.EndToken) sums.ends += run.mass(l.last[i]!);
        }
        expect(sums.open + sums.pruned + sums.hidden + sums.ends).toBeCloseTo(1, 9);
      }),
    );
  });

  it('finds each box, and the rest behind it, at their own places', () => {
    fc.assert(
      fc.property(grown, fc.constantFrom('explored' as const, 'true' as const), (run, shares) => {
        const l = layoutRibbon(run, segments(run), ROOT, shares);
        for (let i = 0; i < l.count; i++) {
          const y = (l.y0[i]! + l.y1[i]!) / 2;
          if (l.y1[i]! - l.y0[i]! > TINY) {
            expect(hit(l, l.x0[i]!, y)).toEqual({ index: i, part: 'box' });
            expect(nodeAt(run, l, i, l.x0[i]!)).toBe(l.first[i]);
            expect(nodeAt(run, l, i, l.x1[i]! - 0.5)).toBe(l.last[i]);
          }
          for (const r of rests(l, i))
            if (r.y1 - r.y0 > TINY) expect(hit(l, l.x1[i]! + 1, (r.y0 + r.y1) / 2)).toEqual({ index: i, part: r.part });
        }
      }),
    );
  });

  it('keeps the order of siblings while the run grows', () => {
    const run = emptyRun('prompt');
    expand(run, ROOT, [0.5, 0.3, 0.1]);
    const order = () => {
      const l = layoutRibbon(run, segments(run), ROOT, 'explored');
      return [...l.first].filter((n) => n >= 1 && n <= 3);
    };
    const before = order();
    expand(run, 3, [0.5, 0.4]);
    expand(run, 1, [0.9]);
    expect(order()).toEqual(before);
  });

  it('lays out a chain of 100,000 tokens, as one box and as a box a step', () => {
    const chain = emptyRun('prompt');
    for (let n = 0; n < 100_000; n++) expand(chain, n, [0.5]);
    const one = layoutRibbon(chain, segments(chain), ROOT, 'true');
    expect(one.count).toBe(2);
    expect(one.x1[1]! - one.x0[1]!).toBe(100_000 + 2 * PAD_CELLS);
    expect(one.pruned[1]).toBe(1);

    const comb = emptyRun('prompt');
    let at: number = ROOT;
    for (let i = 0; i < 50_000; i++) {
      const next = comb.size;
      expand(comb, at, [0.6, 0.4]);
      at = next;
    }
    for (const shares of ['explored', 'true'] as const) {
      const l = layoutRibbon(comb, segments(comb), ROOT, shares);
      expect(l.count).toBe(100_001);
      expect(preorder(l).length).toBe(l.count);
      // Too deep for numbers to tell the boxes apart, and still in order.
      expect(hit(l, l.end[0]! - 3, 0.0)).not.toBeUndefined();
      let ordered = true;
      for (let i = 1; i < l.count; i++) ordered &&= l.x0[i]! > l.x0[l.parent[i]!]! && l.y0[i]! <= l.y1[i]!;
      expect(ordered).toBe(true);
    }
  });

  it('says NONE for nodes outside of the zoomed box', () => {
    const run = emptyRun('prompt');
    expand(run, ROOT, [0.5, 0.3]);
    const l = layoutRibbon(run, segments(run), 2, 'explored');
    expect([...l.boxOf]).toEqual([NONE, NONE, 0]);
    expect(l.y1[0]).toBe(1);
  });
});

describe('cells', () => {
  it('counts characters as a terminal does', () => {
    expect(cells('abc')).toBe(3);
    expect(cells('日本')).toBe(4);
    expect(cells('e\u0301')).toBe(1);
    expect(cells('')).toBe(1);
  });
});

describe('camera', () => {
  const window = { width: 1000, height: 500, end: 4000, cell: 7 };
  const camera = fc.record({
    x: fc.double({ min: 500, max: 2000, noNaN: true }),
    y: fc.double({ min: 0, max: 0.5, noNaN: true }),
    kx: fc.double({ min: 1, max: 20, noNaN: true }),
    ky: fc.double({ min: 1, max: 50, noNaN: true }),
  });
  const factor = fc.double({ min: 0.2, max: 5, noNaN: true });

  it('keeps what is under the pointer in its place', () => {
    fc.assert(
      fc.property(camera, factor, fc.nat(500), (c, f, at) => {
        const x = zoomedX(c, f, at, window);
        expect(x.x + at / x.kx).toBeCloseTo(c.x + at / c.kx, 6);
        const y = zoomedY(c, f, at, window);
        expect(y.y + at / (y.ky * 500)).toBeCloseTo(c.y + at / (c.ky * 500), 6);
      }),
    );
  });

  it('stays with the ribbon, and shows the box asked for', () => {
    fc.assert(
      fc.property(camera, fc.nat(3900), fc.integer({ min: 1, max: 100 }), (from, x0, length) => {
        const c = inside(from, window);
        expect(inside(c, window)).toEqual(c);
        const s = inside(showing(c, { x0, x1: x0 + length, y0: 0.9, y1: 1 }, 1000), window);
        expect(s.x).toBeLessThanOrEqual(x0);
        expect(s.x + 1000 / s.kx).toBeGreaterThan(x0);
        expect(s.y + 1 / s.ky).toBeGreaterThan(0.9);
      }),
    );
  });
});

describe('accountOf', () => {
  it('counts anew only when the run has changed', () => {
    const run = emptyRun('prompt');
    expand(run, ROOT, [0.5, 0.25]);
    const before = accountOf(run);
    expect(accountOf(run)).toBe(before);
    run.feed({ type: 'stop', node: 1, reason: 'end_token' });
    expect(accountOf(run)).toEqual({
      finished: expect.closeTo(0.5),
      frontier: expect.closeTo(0.25),
      pruned: expect.closeTo(0.25),
      completions: 1,
    });
  });
});
