// The notebook's logprobs records: one JSON object per line, one line per response.

export interface RecordToken {
  token: string;
  logprob: number;
  /** In per cent, as the notebook writes it. */
  prob: number;
}

export interface RecordStep extends RecordToken {
  other_tokens: RecordToken[];
}

export interface LogprobsRecord {
  prompt: string;
  response: string;
  data: RecordStep[];
}

/** A line: a record, or what is wrong with it. */
export type Card = { line: number; record: LogprobsRecord } | { line: number; error: string; start: string };

/** What a file of records holds. */
export interface Records {
  /** All records and the first bad lines, in the file's order. */
  cards: Card[];
  /** Bad lines in all. */
  bad: number;
  /** What was read otherwise than it stands, in sentences. */
  notes: string[];
}

/** Characters of a bad line that are shown. */
const START = 300;
/** Bad lines, and other findings, that are told one by one: of a large file of another kind, each line is one. */
const TOLD = 20;
/** Room above 1 for what rounding to bf16, which notebooks compute in, adds to a list of probabilities. */
export const ROUNDED = 0.02;
/** Exact arithmetic gives at most 0; other writers may round. */
const ROUNDING = 1e-6;
/** No model's logits lie as far apart as this. */
const LEAST = -1e6;

type Json = Record<string, unknown>;
const isObject = (x: unknown): x is Json => typeof x === 'object' && x !== null && !Array.isArray(x);

/** Throws what is wrong with a line. */
class Fault extends Error {}

/** All records of a file, and what is wrong with the lines that are none. */
export function parseRecords(text: string): Records {
  const cards: Card[] = [];
  const notes: string[] = [];
  let bad = 0;
  let impossible = 0;
  let number = 0;
  // Splitting the text would hold all of its lines a second time.
  for (let start = 0, end = 0; start < text.length; start = end + 1) {
    number++;
    end = text.indexOf('\n', start);
    if (end < 0) end = text.length;
    const line = text.slice(start, end);
    if (line.trim() === '') continue;
    try {
      const record = recordOf(line);
      cards.push({ line: number, record });
      const zeros = record.data.filter((s) => s.logprob === Number.NEGATIVE_INFINITY).length;
      if (zeros > 0 && ++impossible <= TOLD)
        notes.push(
          `line ${number}: ${zeros} of its tokens have a \`logprob\` of null or -Infinity, which is probability 0`,
        );
    } catch (e) {
      if (!(e instanceof Fault)) throw e;
      if (bad++ < TOLD) cards.push({ line: number, error: e.message, start: line.slice(0, START) });
    }
  }
  if (impossible > TOLD) notes.push(`and ${impossible - TOLD} more lines with tokens of probability 0`);
  return { cards, bad, notes };
}

/** The record that a line is. */
function recordOf(line: string): LogprobsRecord {
  const r = parse(line);
  if (!isObject(r)) throw new Fault('not an object');
  for (const name of ['prompt', 'response'] as const)
    if (typeof r[name] !== 'string') throw new Fault(`\`${name}\` is missing`);
  if (!Array.isArray(r.data)) throw new Fault('`data` is missing');
  const data = r.data.map((s: unknown, i) => {
    const { other_tokens: others = [], ...token } = isObject(s) ? s : {};
    if (!Array.isArray(others)) throw new Fault(`data[${i}].other_tokens is not a list`);
    const step = { ...tokenOf(token, `data[${i}]`), other_tokens: [] as RecordToken[] };
    step.other_tokens = others.map((o, j) => tokenOf(o, `data[${i}].other_tokens[${j}]`));
    const together = step.other_tokens.reduce((sum, o) => sum + Math.exp(o.logprob), 0);
    if (together > 1 + ROUNDED)
      throw new Fault(`data[${i}].other_tokens have a probability of ${together.toFixed(3)} together`);
    return step;
  });
  return { prompt: r.prompt as string, response: r.response as string, data };
}

function tokenOf(t: unknown, what: string): RecordToken {
  if (!isObject(t) || typeof t.token !== 'string') throw new Fault(`${what}: \`token\` is missing`);
  const { token, logprob, prob } = t;
  // Many write the log of probability 0 as null: JSON has no infinite numbers.
  if (logprob === null) return { token, logprob: Number.NEGATIVE_INFINITY, prob: 0 };
  if (typeof logprob !== 'number') throw new Fault(`${what}: \`logprob\` is missing`);
  if (logprob > ROUNDING)
    throw new Fault(
      `${what}: \`logprob\` is ${logprob}, above 0: that is no log probability (a raw logit, or a surprisal?)`,
    );
  if (logprob < LEAST) throw new Fault(`${what}: \`logprob\` is ${logprob.toExponential()}, which no model gives`);
  return { token, logprob, prob: typeof prob === 'number' ? prob : Math.exp(logprob) * 100 };
}

function parse(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch (e) {
    // Python's `json` writes it though JSON does not have it.
    const without = line.replace(/"(?:[^"\\]|\\.)*"?|-Infinity/g, (m) => (m === '-Infinity' ? 'null' : m));
    try {
      if (without !== line) return JSON.parse(without);
    } catch {
      // The line as it stands is what the reader knows.
    }
    throw new Fault((e as Error).message);
  }
}

/** Totals of a record. */
export function totals(record: LogprobsRecord): { bits: number; perplexity: number; tokens: number } {
  const nats = -record.data.reduce((sum, s) => sum + s.logprob, 0);
  const tokens = record.data.length;
  return { bits: nats / Math.LN2, perplexity: tokens === 0 ? Number.NaN : Math.exp(nats / tokens), tokens };
}
