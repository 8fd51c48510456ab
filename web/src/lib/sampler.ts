// A sampler's view of a step's list. The order is transformers': temperature, top-k, top-p, min-p.

export interface Sampler {
  temperature: number;
  /** 0 keeps all. */
  topK: number;
  topP: number;
  minP: number;
}

export const PLAIN: Sampler = { temperature: 1, topK: 0, topP: 1, minP: 0 };

/** Whether a sampler changes nothing. */
export const isPlain = (s: Sampler): boolean => s.temperature === 1 && s.topK === 0 && s.topP >= 1 && s.minP === 0;

/** What a sampler does, in words. */
export const inWords = (s: Sampler): string =>
  [
    s.temperature !== 1 && `temperature ${s.temperature}`,
    s.topK > 0 && `top-k ${s.topK}`,
    s.topP < 1 && `top-p ${s.topP}`,
    s.minP > 0 && `min-p ${s.minP}`,
  ]
    .filter(Boolean)
    .join(', ');

export interface Reweighted {
  /** Probability of each listed token after sampling's rules; 0 where it is cut. */
  probs: number[];
  /** The same of the known tokens beyond the list. */
  beyond: number[];
  /** Probability of all other tokens. */
  other: number;
  /** Whether these are exact, however what is not listed is split. */
  exact: boolean;
}

/** Less than this is rounding. */
const TINY = 1e-9;

const total = (list: number[]): number => list.reduce((sum, x) => sum + x, 0);

/**
 * `logprobs` is a step's list, most likely first; `beyond` has less likely tokens, of which it is not known how many
 * others are between them and the list. Other tokens count as tokens like the last listed one: none of them is more
 * likely, and how their mass is split is not known.
 */
export function reweigh(logprobs: number[], s: Sampler, beyond: number[] = []): Reweighted {
  const rest = Math.max(0, 1 - total(logprobs.map(Math.exp)) - total(beyond.map(Math.exp)));
  if (beyond.length > 0 && (rest < TINY || logprobs.length === 0)) {
    const all = reweigh([...logprobs, ...beyond], s);
    const n = logprobs.length;
    return { ...all, probs: all.probs.slice(0, n), beyond: all.probs.slice(n), exact: all.exact && rest < TINY };
  }
  const best = logprobs[0] ?? 0;
  const last = logprobs.at(-1) ?? 0;
  const weight = (l: number) => Math.exp((l - best) / s.temperature);
  let kept = logprobs.map(weight);
  let far = beyond.map(weight);
  let lump = rest < TINY ? 0 : rest * Math.exp(-last) * weight(last);
  let exact = lump === 0 || s.temperature === 1;
  const norm = () => {
    const sum = total(kept) + total(far) + lump;
    kept = kept.map((w) => w / sum);
    far = far.map((w) => w / sum);
    lump /= sum;
  };
  const cutOthers = () => {
    far = far.map(() => 0);
    lump = 0;
  };
  if (s.topK > 0) {
    kept = kept.map((w, i) => (i < s.topK ? w : 0));
    if (s.topK <= kept.length) {
      cutOthers();
      exact = true;
    } else if (lump > 0) exact = false;
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
    if (before >= s.topP) cutOthers();
    else if (lump > 0) exact = false;
    norm();
  }
  if (s.minP > 0) {
    const least = s.minP * (kept[0] ?? 0);
    const cut = (p: number) => (p >= least ? p : 0);
    kept = kept.map(cut);
    far = far.map(cut);
    if (weight(last) < s.minP) {
      // Nothing that is not listed is likelier than what was cut here; only top-p may have cut by a weight not known.
      cutOthers();
      if (s.topP >= 1) exact = true;
    } else if (lump > 0) exact = false;
    norm();
  }
  return { probs: kept, beyond: far, other: lump, exact };
}
