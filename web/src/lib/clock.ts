// How long a run will go on at most: until the nearest of its budgets ends it.

import { ROOT, type Run, State } from './run';

export interface Pace {
  /** Nodes a second. */
  rate: number;
  /** Open paths. */
  queue: number;
  nodes: number;
}

const numberOf = (x: unknown): number => (typeof x === 'number' && x > 0 ? x : Number.POSITIVE_INFINITY);

/** Depth of what the strategy looked at last. */
function depthOf(run: Run): number {
  for (let n = run.size - 1; n > ROOT; n--) if (run.state.get(n) === State.Expanded) return run.depth.get(n);
  return 0;
}

/** Seconds to go at most; null where no budget says it, or where there is no pace yet. */
export function timeLeft(run: Run, { rate, queue, nodes }: Pace): number | null {
  if (rate <= 0) return null;
  const ofNodes = (numberOf(run.limits.max_nodes) - nodes) / rate;
  const levels = numberOf(run.header.parameters.max_depth) - depthOf(run);
  // Each level looks at the open paths once.
  const ofDepth = (levels * Math.max(1, queue)) / rate;
  const least = Math.max(0, Math.min(ofNodes, ofDepth));
  return Number.isFinite(least) ? least : null;
}
