// A text's tokens with their surprisal, from an answer in OpenAI's form that echoes its prompt.

export interface ScoredToken {
  text: string;
  /** Surprisal; NaN for the first token, before which nothing was said. */
  bits: number;
  /** The likeliest tokens in its place. */
  top: { text: string; bits: number }[];
}

export interface Scored {
  tokens: ScoredToken[];
  bits: number;
  /** Tokens that have a surprisal. */
  scored: number;
}

interface Logprobs {
  tokens?: unknown;
  token_logprobs?: unknown;
  top_logprobs?: unknown;
}

const inBits = (logprob: unknown): number => (typeof logprob === 'number' ? -logprob / Math.LN2 : Number.NaN);

/** The tokens of the answer, each as it came. Throws if there are no logprobs of them. */
export function scoredTokens(answer: unknown): ScoredToken[] {
  const choice = (answer as { choices?: { logprobs?: Logprobs }[] })?.choices?.[0];
  const { tokens, token_logprobs: logprobs, top_logprobs: top } = choice?.logprobs ?? {};
  if (!Array.isArray(tokens) || !Array.isArray(logprobs)) throw new Error('the answer has no logprobs of the text');
  return tokens.map((text, i): ScoredToken => {
    const listed =
      Array.isArray(top) && typeof top[i] === 'object' && top[i] !== null ? Object.entries(top[i] as object) : [];
    return {
      text: String(text),
      bits: inBits(logprobs[i]),
      top: listed.map(([t, logprob]) => ({ text: t, bits: inBits(logprob) })).sort((a, b) => a.bits - b.bits),
    };
  });
}

/** The answer to a text. Throws if it has no logprobs of it. */
export function scoredOf(answer: unknown, text: string): Scored {
  const out = scoredTokens(answer);
  // What the tokenizer puts before every text is none of it.
  if (out[0] && Number.isNaN(out[0].bits) && !text.startsWith(out[0].text)) out.shift();
  const known = out.filter((t) => !Number.isNaN(t.bits));
  return { tokens: out, bits: known.reduce((sum, t) => sum + t.bits, 0), scored: known.length };
}
