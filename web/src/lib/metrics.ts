// Numbers of tokens and steps, as people read them.

import { NONE, ROOT, type Run } from './run';

export const BITS = 1 / Math.LN2;

/** What colours show. */
export const METRICS = ['surprisal', 'probability', 'rank', 'entropy'] as const;
export type Metric = (typeof METRICS)[number];

export const METRIC_UNITS: Record<Metric, string> = {
  surprisal: 'bits',
  probability: '%',
  rank: '',
  entropy: 'bits before the choice',
};

/** Surprisal of a node's token in bits. */
export const surprisal = (run: Run, n: number): number => -run.logprobOf(n) * BITS;

/** A node's value for a metric; NaN where it is not known. */
export function metricOf(run: Run, n: number, metric: Metric): number {
  if (n === ROOT) return Number.NaN;
  switch (metric) {
    case 'surprisal':
      return surprisal(run, n);
    case 'probability':
      return run.probOf(n);
    case 'rank':
      return run.rank(n);
    case 'entropy': {
      const parent = run.parent.get(n);
      return parent === NONE ? Number.NaN : run.entropy.get(parent) * BITS;
    }
  }
}

/** Place of a value on the colour scale: 0 is what the model expected, 1 is a surprise. */
export function level(metric: Metric, value: number): number {
  if (Number.isNaN(value)) return Number.NaN;
  const clamp = (x: number) => Math.min(1, Math.max(0, x));
  switch (metric) {
    // 6 bits is a token of 1.6 %: below that, less likely is no more surprising to the eye.
    case 'surprisal':
    case 'entropy':
      return clamp(value / 6);
    case 'probability':
      return clamp(1 - value);
    case 'rank':
      return clamp(Math.log10(Math.max(1, value)) / 2);
  }
}

/** Perplexity of a path below a node. */
export function perplexity(run: Run, from: number, to: number): number {
  const n = run.depth.get(to) - run.depth.get(from);
  if (n === 0) return 1;
  // After a cut token, the difference would be of two infinities.
  if (run.isCut(to)) return Number.POSITIVE_INFINITY;
  return Math.exp(-(run.pathLogprobOf(to) - run.pathLogprobOf(from)) / n);
}
