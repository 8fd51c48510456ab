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

/** Characters of a bad line that are shown. */
const START = 300;

const isToken = (t: unknown): t is RecordToken => {
  const x = t as RecordToken | null;
  return typeof x === 'object' && x !== null && typeof x.token === 'string' && typeof x.logprob === 'number';
};

/** A card for every line that is not empty. */
export function parseRecords(text: string): Card[] {
  const cards: Card[] = [];
  for (const [i, line] of text.split('\n').entries()) {
    if (line.trim() === '') continue;
    const bad = (error: string) => cards.push({ line: i + 1, error, start: line.slice(0, START) });
    let value: unknown;
    try {
      value = JSON.parse(line);
    } catch (e) {
      bad((e as Error).message);
      continue;
    }
    const r = value as Partial<LogprobsRecord> | null;
    if (typeof r !== 'object' || r === null) bad('not an object');
    else if (typeof r.prompt !== 'string') bad('`prompt` is missing');
    else if (!Array.isArray(r.data)) bad('`data` is missing');
    else {
      const wrong = r.data.findIndex(
        (s) =>
          !isToken(s) ||
          (s.other_tokens !== undefined && !(Array.isArray(s.other_tokens) && s.other_tokens.every(isToken))),
      );
      if (wrong >= 0) bad(`data[${wrong}] needs \`token\`, \`logprob\` and a list \`other_tokens\``);
      else {
        const data = r.data.map((s) => ({
          ...s,
          prob: s.prob ?? Math.exp(s.logprob) * 100,
          other_tokens: s.other_tokens ?? [],
        }));
        cards.push({
          line: i + 1,
          record: { prompt: r.prompt, response: typeof r.response === 'string' ? r.response : '', data },
        });
      }
    }
  }
  return cards;
}

/** Totals of a record. */
export function totals(record: LogprobsRecord): { bits: number; perplexity: number; tokens: number } {
  const nats = -record.data.reduce((sum, s) => sum + s.logprob, 0);
  const tokens = record.data.length;
  return { bits: nats / Math.LN2, perplexity: tokens === 0 ? 1 : Math.exp(nats / tokens), tokens };
}
