// The probability of every node as a sampler re-weights it, from the lists that the run has.

import { f64, u8 } from './columns';
import { type Listed, NONE, type Run, type Weights } from './run';
import { reweigh, type Sampler } from './sampler';

export interface SampledStep {
  /** One for each token of the list; 0 where it is cut. */
  probs: number[];
  /** Of all tokens that are not on the list. */
  other: number;
  /** Whether this is so, however what is not on the list is split. */
  exact: boolean;
}

/** A step's list as a sampler re-weights it. Children that have no rank come last, as `Run.listed` puts them. */
export function sampledStep(listed: Listed[], sampler: Sampler): SampledStep {
  const logprobs = listed.map((t) => t.logprob);
  const found = listed.findIndex((t) => Number.isNaN(t.rank));
  const ranked = found < 0 ? listed.length : found;
  const { probs, beyond, other, exact } = reweigh(logprobs.slice(0, ranked), sampler, logprobs.slice(ranked));
  return { probs: [...probs, ...beyond], other, exact };
}

const ROUGH = 1;
const ROUGH_PATH = 2;

export class Resampled implements Weights {
  private readonly own = f64();
  private readonly path = f64();
  private readonly flags = u8();
  private cut = 0;
  private anyRough = false;

  constructor(
    private readonly run: Run,
    private readonly sampler: Sampler,
  ) {}

  logprobOf(n: number): number {
    this.reach(n);
    return this.own.get(n);
  }

  pathLogprobOf(n: number): number {
    this.reach(n);
    return this.path.get(n);
  }

  isRough(n: number): boolean {
    this.reach(n);
    return (this.flags.get(n) & ROUGH) !== 0;
  }

  isPathRough(n: number): boolean {
    this.reach(n);
    return (this.flags.get(n) & ROUGH_PATH) !== 0;
  }

  /** How many tokens are cut, those that follow them not counted; and whether any number is rough. */
  summary(): { cut: number; rough: boolean } {
    this.reach(this.run.size - 1);
    return { cut: this.cut, rough: this.anyRough };
  }

  /** The run may have grown. */
  private reach(n: number): void {
    if (n >= this.own.length) this.grow(this.own.length);
  }

  private grow(from: number): void {
    const { run } = this;
    this.own.length = this.path.length = this.flags.length = from;
    if (from === 0) {
      [this.cut, this.anyRough] = [0, false];
      this.add(0, 0, 0);
    }
    let last = NONE;
    let probs = new Map<number, number>();
    let rough = 0;
    for (let n = Math.max(1, from); n < run.size; n++) {
      const parent = run.parent.get(n);
      if (parent !== last) {
        // A child that came later changes its siblings: what of the step is not listed is less.
        for (const c of run.childrenOf(parent)) if (c < from) return this.grow(0);
        const listed = run.listed(parent);
        const step = sampledStep(listed, this.sampler);
        probs = new Map(listed.map((t, i) => [t.node, step.probs[i]!]));
        rough = step.exact ? 0 : ROUGH;
        last = parent;
      }
      const logprob = Math.log(probs.get(n)!);
      const before = this.path.get(parent);
      const isRough = rough !== 0 || (this.flags.get(parent) & ROUGH_PATH) !== 0;
      if (logprob === Number.NEGATIVE_INFINITY && before > logprob) this.cut++;
      if (isRough) this.anyRough = true;
      this.add(logprob, before + logprob, rough | (isRough ? ROUGH_PATH : 0));
    }
  }

  private add(own: number, path: number, flags: number): void {
    this.own.push(own);
    this.path.push(path);
    this.flags.push(flags);
  }
}
