// How far two distributions over the whole vocabulary are apart at each token of a text, as the server tells it.

import { BITS } from './metrics';

/** In nats. What is infinite has no number in JSON, and comes as null. */
export interface DivergenceStep {
  kl_ab: number | null;
  kl_ba: number | null;
  js: number;
}

/** In bits. */
export interface Divergence {
  /** What is lost, on average, where B stands in for A. */
  klAB: number;
  klBA: number;
  /** Jensen-Shannon: between 0 and 1 bit. */
  js: number;
}

const bitsOf = (nats: number | null): number => (nats === null ? Number.POSITIVE_INFINITY : nats * BITS);

export const divergencesOf = (steps: readonly DivergenceStep[]): Divergence[] =>
  steps.map((s) => ({ klAB: bitsOf(s.kl_ab), klBA: bitsOf(s.kl_ba), js: s.js * BITS }));

/** Means over the tokens, and the place where both are furthest apart; null for no tokens. */
export function summary(all: readonly Divergence[]): { mean: Divergence; furthest: number } | null {
  if (all.length === 0) return null;
  const mean = (of: keyof Divergence) => all.reduce((sum, d) => sum + d[of], 0) / all.length;
  // Jensen-Shannon is never infinite, so it has an order.
  const furthest = all.reduce((best, d, i) => (d.js > all[best]!.js ? i : best), 0);
  return { mean: { klAB: mean('klAB'), klBA: mean('klBA'), js: mean('js') }, furthest };
}
