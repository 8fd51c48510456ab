// Two runs, or two branches of one, side by side: where they part, and how differently they saw what they share.

import { BITS } from './metrics';
import { NONE, ROOT, type Run } from './run';

export interface Place {
  /** Text of the token. */
  text: string;
  /** Nodes in each run, NONE where it has none. */
  a: number;
  b: number;
  /** Surprisal in bits of this very token in each, NaN where it is not known. */
  bitsA: number;
  bitsB: number;
}

export interface Comparison {
  /** Tokens that both paths have, then those of A alone, scored by B as far as its tree and its lists go. */
  places: Place[];
  /** How many of them both paths share. */
  shared: number;
  /** What B's path has after they part. */
  otherB: number[];
}

/** Tokens of two models are the same if their bytes are. */
const same = (a: Run, tokenA: number, b: Run, tokenB: number): boolean =>
  a === b
    ? tokenA === tokenB
    : a.text(tokenA) === b.text(tokenB) && String(a.bytes(tokenA)) === String(b.bytes(tokenB));

/** The logprob of a token after a node, NaN where the run does not know it. */
export function logprobAfter(
  run: Run,
  node: number,
  isIt: (token: number) => boolean,
): { logprob: number; node: number } {
  const found = run.listed(node).find((t) => isIt(t.id));
  return found ? { logprob: found.logprob, node: found.node } : { logprob: Number.NaN, node: NONE };
}

/** The path to `leafA` of run A, beside the path to `leafB` of run B. */
export function compare(a: Run, leafA: number, b: Run, leafB: number): Comparison {
  const [pathA, pathB] = [a.path(leafA), b.path(leafB)];
  let shared = 0;
  while (
    shared < Math.min(pathA.length, pathB.length) &&
    same(a, a.token.get(pathA[shared]!), b, b.token.get(pathB[shared]!))
  )
    shared++;
  // Of what A says, B knows what its tree has, on any branch, and one token more.
  let at = ROOT as number;
  const places = pathA.map((n): Place => {
    const token = a.token.get(n);
    const found = at === NONE ? { logprob: Number.NaN, node: NONE } : logprobAfter(b, at, (t) => same(a, token, b, t));
    at = found.node;
    return { text: a.text(token), a: n, b: found.node, bitsA: -a.logprob.get(n) * BITS, bitsB: -found.logprob * BITS };
  });
  return { places, shared, otherB: pathB.slice(shared) };
}

/** How many bits B needed more than A for the tokens that both know, and for how many. */
export function difference(places: Place[]): { bits: number; tokens: number } {
  let [bits, tokens] = [0, 0];
  for (const p of places) {
    if (Number.isNaN(p.bitsB)) continue;
    bits += p.bitsB - p.bitsA;
    tokens++;
  }
  return { bits, tokens };
}

export interface Pair {
  text: string;
  /** Probabilities; NaN where a list does not have the token. */
  a: number;
  b: number;
}

/** Two steps' lists as one, the likeliest in either first. */
export function pairs(a: Run, nodeA: number, b: Run, nodeB: number): Pair[] {
  const out: (Pair & { token: number })[] = a
    .listed(nodeA)
    .map((t) => ({ text: a.text(t.id), token: t.id, a: Math.exp(t.logprob), b: Number.NaN }));
  for (const t of b.listed(nodeB)) {
    const known = out.find((p) => !Number.isNaN(p.a) && same(a, p.token, b, t.id));
    if (known) known.b = Math.exp(t.logprob);
    else out.push({ text: b.text(t.id), token: t.id, a: Number.NaN, b: Math.exp(t.logprob) });
  }
  const most = (p: Pair) => Math.max(Number.isNaN(p.a) ? 0 : p.a, Number.isNaN(p.b) ? 0 : p.b);
  return out.sort((x, y) => most(y) - most(x)).map(({ text, a: pa, b: pb }) => ({ text, a: pa, b: pb }));
}

/**
 * The share of probability by which two steps differ, at least: the total variation of what both lists have, and of the rest as one token.
 * Splitting the rest further can only make it more.
 */
export function apart(list: Pair[]): number {
  const both = list.filter((p) => !Number.isNaN(p.a) && !Number.isNaN(p.b));
  const rest = (of: 'a' | 'b') => Math.max(0, 1 - both.reduce((sum, p) => sum + p[of], 0));
  return (both.reduce((sum, p) => sum + Math.abs(p.a - p.b), 0) + Math.abs(rest('a') - rest('b'))) / 2;
}
