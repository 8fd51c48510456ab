// Numbers of logprobs records, and which of them a page shows.

import { harmless } from '../../lib/visible';
import { type Card, type LogprobsRecord, type RecordStep, totals } from '../../lib/records';

/** Tokens of one record that are in the page at once. */
export const PART = 1500;
const CARDS = 20;
/** Tokens in the page at once: with all that is around them, about 2,000 elements. */
const TOKENS = 1500;

/** Rounding may give a little more than 1. */
export const chance = (logprob: number): number => Math.min(1, Math.exp(logprob));

const tokensOf = (card: Card): number => ('record' in card ? Math.min(PART, card.record.data.length) : 0);

/** Where each page of cards begins; a page has few enough tokens and cards, but at least one card. */
export function pages(cards: Card[]): number[] {
  const starts: number[] = [];
  let tokens = 0;
  for (const [i, card] of cards.entries()) {
    const more = tokensOf(card);
    if (i === 0 || i - starts.at(-1)! >= CARDS || tokens + more > TOKENS) {
      starts.push(i);
      tokens = 0;
    }
    tokens += more;
  }
  return starts;
}

export interface Row {
  token: string;
  logprob: number;
  chosen: boolean;
}

/** The listed tokens of a step, most likely first, the chosen one among them, and what all others have together. */
export function candidates(step: RecordStep): { rows: Row[]; other: number } {
  let found = false;
  const rows: Row[] = step.other_tokens.map((t) => {
    // Two tokens may have the same text: only the first is marked.
    const chosen = !found && t.token === step.token;
    found ||= chosen;
    return { token: t.token, logprob: t.logprob, chosen };
  });
  if (!found) rows.push({ token: step.token, logprob: step.logprob, chosen: true });
  rows.sort((a, b) => b.logprob - a.logprob);
  const listed = rows.reduce((sum, r) => sum + chance(r.logprob), 0);
  return { rows, other: Math.max(0, 1 - listed) };
}

/** Mean over the steps of what the listed tokens say of the entropy, in bits: it is at least this. */
export function meanEntropy(record: LogprobsRecord): number {
  if (record.data.length === 0) return Number.NaN;
  let sum = 0;
  for (const step of record.data) {
    const { rows, other } = candidates(step);
    // All others taken as one: any split of them has more.
    for (const p of [...rows.map((r) => chance(r.logprob)), other]) if (p > 0) sum -= p * Math.log2(p);
  }
  return sum / record.data.length;
}

/** What responses are compared by. */
export interface Compared {
  line: number;
  prompt: string;
  tokens: number;
  bits: number;
  perplexity: number;
  entropy: number;
}
export type Measure = Exclude<keyof Compared, 'prompt'>;

/** The numbers of all responses that have tokens. */
export function compare(cards: Card[]): Compared[] {
  const out: Compared[] = [];
  for (const card of cards) {
    if (!('record' in card) || card.record.data.length === 0) continue;
    const { record, line } = card;
    out.push({ line, prompt: record.prompt, ...totals(record), entropy: meanEntropy(record) });
  }
  return out;
}

export const ordered = (rows: Compared[], by: Measure, rising: boolean): Compared[] =>
  [...rows].sort((a, b) => (rising ? a[by] - b[by] : b[by] - a[by]) || a.line - b.line);

/** A response's token as it is shown: line breaks and tabs are visible and still do what they do. */
export const shown = (token: string): string =>
  harmless(token).replace(/\r/g, '␍').replace(/\n/g, '⏎\n').replace(/\t/g, '⇥\t');
