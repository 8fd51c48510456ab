// Rows of the outline on trees of any shape: nothing is lost, nothing twice, and growth does not move what is in sight.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { beginning, type Row, rows, shift } from '../src/lib/outline';
import { ROOT, type Run } from '../src/lib/run';
import { nodesOf, segmentText } from '../src/lib/segments';
import { emptyRun } from './empty-run';

/** Expands a node, with the shares of its children. */
function grow(run: Run, node: number, shares: number[]): void {
  run.feed({ type: 'expand', node, queue: 1, entropy: 1, varentropy: 1, top: [], children: shares.length });
  for (const p of shares) {
    const id = run.size;
    run.feed({ type: 'node', node: id, parent: node, id, text: `t${id} `, logprob: Math.log(p) });
  }
}

/** Steps: which of the open nodes, and into how many it goes. */
const steps = fc.array(fc.tuple(fc.nat(), fc.integer({ min: 1, max: 3 })), { maxLength: 40 });

function build(list: [number, number][], run = emptyRun('P'), open = [ROOT]): { run: Run; open: number[] } {
  for (const [pick, children] of list) {
    const [node] = open.splice(pick % open.length, 1);
    const before = run.size;
    grow(
      run,
      node!,
      Array.from({ length: children }, (_, i) => 0.9 / (children + i)),
    );
    for (let n = before; n < run.size; n++) open.push(n);
  }
  return { run, open };
}

const all = { minMass: 0, minProb: 0, closed: new Set<number>() };
const isSegment = (r: Row): r is Row & { kind: 'segment' } => r.kind === 'segment';

describe('outline', () => {
  test('every token is in one row, below the row of its parent', () => {
    fc.assert(
      fc.property(steps, (list) => {
        const { run } = build(list);
        const out = rows(run, all).filter(isSegment);
        const nodes = out.flatMap((r) => nodesOf(run, r.segment));
        expect([...nodes].sort((a, b) => a - b)).toEqual(Array.from({ length: run.size - 1 }, (_, i) => i + 1));
        const rowOfNode = new Map<number, number>([[ROOT, 0]]);
        out.forEach((r, i) => {
          for (const n of nodesOf(run, r.segment)) rowOfNode.set(n, i);
        });
        out.forEach((r, i) => {
          if (i === 0) return;
          const above = rowOfNode.get(run.parent.get(r.segment.first))!;
          expect(above).toBeLessThan(i);
          expect(r.level).toBe(out[above]!.level + 1);
        });
      }),
    );
  });

  test('"other" is what the children of a branching leave, and comes after them', () => {
    fc.assert(
      fc.property(steps, (list) => {
        const { run } = build(list);
        const out = rows(run, all);
        out.forEach((r, i) => {
          if (r.kind !== 'other') return;
          for (const { after, prob } of r.rests) {
            const kept = [...run.childrenOf(after)].reduce((sum, c) => sum + Math.exp(run.logprob.get(c)), 0);
            expect(prob + kept).toBeCloseTo(1);
          }
          // One row for all levels that end here, from the innermost out.
          for (let k = 1; k < r.rests.length; k++)
            expect(run.isAncestor(r.rests[k]!.after, r.rests[k - 1]!.after)).toBe(true);
          const next = out[i + 1];
          if (next) expect(next.level).toBeLessThanOrEqual(r.level);
          expect(next?.kind).not.toBe('other');
        });
        const told = out.flatMap((r) => (r.kind === 'other' ? r.rests.map((x) => x.after) : []));
        const branching = out.filter(
          (r) => isSegment(r) && (r.segment.children.length > 1 || r.segment.first === ROOT) && r.open,
        );
        expect([...told].sort((a, b) => a - b)).toEqual(
          branching.map((r) => (isSegment(r) ? r.segment.last : 0)).sort((a, b) => a - b),
        );
      }),
    );
  });

  test('a closed row hides all below it and nothing else', () => {
    fc.assert(
      fc.property(steps, fc.nat(), (list, pick) => {
        const { run } = build(list);
        const open = rows(run, all);
        const segments = open.filter(isSegment);
        const shut = segments[pick % segments.length]!.segment;
        const out = rows(run, { ...all, closed: new Set([shut.first]) });
        const kept = (list: Row[]) =>
          list.flatMap((r) =>
            r.kind === 'other'
              ? r.rests.filter((x) => !run.isAncestor(shut.last, x.after)).map((x) => `other ${x.after}`)
              : r.segment.first === shut.first || !run.isAncestor(shut.last, r.segment.first)
                ? [`${r.segment.first}`]
                : [],
          );
        const key = (r: Row) => (r.kind === 'other' ? r.rests.map((x) => `other ${x.after}`) : [`${r.segment.first}`]);
        expect(out.flatMap(key)).toEqual(kept(open));
      }),
    );
  });

  test('while the run grows, the row at the top is found again', () => {
    fc.assert(
      fc.property(steps, steps, fc.nat(), (first, more, pick) => {
        const { run, open } = build(first);
        const before = rows(run, all);
        build(more, run, open);
        const after = rows(run, all);
        const top = pick % before.length;
        const there = before[top]!;
        const moved = shift(before, after, top);
        // A row of tokens stays a row with the same first token as long as nothing branches off before it.
        if (there.kind === 'segment') {
          const now = after[top + moved]!;
          expect(now.kind === 'segment' && now.segment.first).toBe(there.segment.first);
        }
        expect(shift(before, before, top)).toBe(0);
      }),
    );
  });

  test('the beginning of a long row is the beginning of its text', () => {
    const run = emptyRun('P');
    for (let n = 0; n < 20_000; n++) grow(run, n, [0.9]);
    const [, row] = rows(run, all).filter(isSegment);
    const text = segmentText(run, row!.segment);
    expect(text.length).toBeGreaterThan(100_000);
    expect(beginning(run, row!.segment, 400)).toBe(text.slice(0, 400));
    expect(beginning(run, rows(run, all).filter(isSegment)[0]!.segment, 400)).toBe('P');
  });
});
