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
  /** Whether these are exact, however what is not listed is split. */
  exact: boolean;
}

/**
 * `logprobs` is a step's list, most likely first. What is not listed counts as tokens like the last listed one: none of
 * them is more likely, and how it is split is not known.
 */
export function reweigh(logprobs: number[], s: Sampler): Reweighted {
  const best = logprobs[0] ?? 0;
  const last = logprobs.at(-1) ?? 0;
  const rest = Math.max(0, 1 - logprobs.reduce((sum, l) => sum + Math.exp(l), 0));
  const weight = (l: number) => Math.exp((l - best) / s.temperature);
  let kept = logprobs.map(weight);
  let lump = rest < 1e-9 ? 0 : rest * Math.exp(-last) * weight(last);
  let exact = lump === 0 || s.temperature === 1;
  const norm = () => {
    const sum = kept.reduce((a, b) => a + b, lump);
    kept = kept.map((w) => w / sum);
    lump /= sum;
  };
  if (s.topK > 0) {
    kept = kept.map((w, i) => (i < s.topK ? w : 0));
    if (s.topK <= kept.length) [lump, exact] = [0, true];
    else if (lump > 0) exact = false;
  }
  norm();
  if (s.topP < 1) {
    let before = 0;
    kept = kept.map((p) => {
      const stays = before < s.topP;
      before += p;
      return stays ? p : 0;
    });
    // Where the list does not reach, so many of the other tokens are kept as nobody knows.
    if (before >= s.topP) lump = 0;
    else if (lump > 0) exact = false;
    norm();
  }
  if (s.minP > 0) {
    const least = s.minP * (kept[0] ?? 0);
    kept = kept.map((p) => (p >= least ? p : 0));
    if (weight(last) < s.minP) {
      // Nothing that is not listed is likelier than what was cut here; only top-p may have cut by a weight not known.
      lump = 0;
      if (s.topP >= 1) exact = true;
    } else if (lump > 0) exact = false;
    norm();
  }
  return { probs: kept, other: lump, exact };
}
