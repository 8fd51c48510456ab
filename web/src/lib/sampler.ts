// A sampler's view of a step's list. The order is transformers': temperature, top-k, top-p, min-p.

export interface Sampler {
  temperature: number;
  /** 0 keeps all. */
  topK: number;
  topP: number;
  minP: number;
}

export const PLAIN: Sampler = { temperature: 1, topK: 0, topP: 1, minP: 0 };

export interface Reweighted {
  /** Probability of each listed token after sampling's rules; 0 where it is cut. */
  probs: number[];
  /** Probability of all that is not listed. */
  other: number;
  /** Whether these are exact: what is not listed is cut, or nothing is asked of it. */
  exact: boolean;
}

/** `logprobs` is a step's list, most likely first. What is not listed counts as one lump that keeps its own share. */
export function reweigh(logprobs: number[], s: Sampler): Reweighted {
  const rest = Math.max(0, 1 - logprobs.reduce((sum, l) => sum + Math.exp(l), 0));
  const best = logprobs[0] ?? 0;
  const weight = (l: number) => Math.exp((l - best) / s.temperature);
  let kept = logprobs.map(weight);
  // One token of the lump's size weighs no more than the lump does in truth when it is cooled, and no less when it is heated.
  let lump = rest > 0 ? weight(Math.log(rest)) : 0;
  let exact = rest < 1e-9 || s.temperature === 1;
  const cutRest = () => {
    lump = 0;
    exact = true;
  };
  if (s.topK > 0 && s.topK <= kept.length) {
    kept = kept.map((w, i) => (i < s.topK ? w : 0));
    cutRest();
  }
  const norm = () => {
    const sum = kept.reduce((a, b) => a + b, lump);
    kept = kept.map((w) => w / sum);
    lump /= sum;
  };
  norm();
  if (s.topP < 1) {
    let before = 0;
    const keep = kept.map((p) => {
      const is = before < s.topP && p > 0;
      before += p;
      return is;
    });
    kept = kept.map((p, i) => (keep[i] ? p : 0));
    // The lump's most likely tokens may be needed too; then nobody knows which.
    if (before >= s.topP) cutRest();
    else exact = false;
    norm();
  }
  if (s.minP > 0) {
    const least = s.minP * (kept[0] ?? 0);
    const last = kept.at(-1) ?? 0;
    kept = kept.map((p) => (p >= least ? p : 0));
    if (last < least) cutRest();
    else if (lump > 0) exact = false;
    norm();
  }
  return { probs: kept, other: lump, exact };
}
