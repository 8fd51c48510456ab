// What the form of a new run holds: it stays for the next run, and for the next visit.

import { signal } from '@preact/signals';
import type { Header, Message } from '../lib/format';
import { kept } from './prefs';
import { page } from './store';

export interface Draft {
  chat: boolean;
  /** As a text, only the last one counts: so it stays when the box is ticked. */
  turns: Message[];
  /** What the chat template is given besides. */
  variables: Record<string, unknown>;
  strategy: string;
  /** What is not the strategy's default, as it was typed. */
  values: Record<string, string>;
  nodes: string;
  seconds: string;
}

/** The depth a first look needs; the strategies' own default is a thousand. */
export const DEPTH = '20';

export const EMPTY: Draft = {
  chat: false,
  turns: [{ role: 'user', content: '' }],
  variables: {},
  strategy: 'dynamic',
  values: { max_depth: DEPTH },
  nodes: '2000',
  seconds: '',
};

const isMessage = (m: unknown): boolean => {
  const { role, content } = (m ?? {}) as Partial<Message>;
  return typeof role === 'string' && typeof content === 'string';
};

function isDraft(x: unknown): boolean {
  if (typeof x !== 'object' || x === null) return false;
  const d = x as Draft;
  const texts = [d.strategy, d.nodes, d.seconds, ...Object.values(d.values ?? {})];
  return (
    Array.isArray(d.turns) &&
    d.turns.length > 0 &&
    d.turns.every(isMessage) &&
    typeof d.variables === 'object' &&
    texts.every((t) => typeof t === 'string')
  );
}

export const draft = kept<Draft>('draft', EMPTY, isDraft);
/** Grows when the prompt is to have the focus. */
export const focusPrompt = signal(0);

export const change = (what: Partial<Draft>): void => {
  draft.value = { ...draft.value, ...what };
};

/** A prompt without its conversation, in the form. */
export const setPrompt = (content: string): void => change({ chat: false, turns: [{ role: 'user', content }] });

/** Puts what a run was made of into the form. */
export function again({ prompt, parameters, strategy, limits }: Header): void {
  const numbers = Object.entries(parameters).filter(([, value]) => typeof value === 'number');
  const limit = (name: string) => String(limits?.[name] ?? '');
  draft.value = {
    chat: prompt.chat,
    turns: prompt.messages?.length ? prompt.messages : [{ role: 'user', content: prompt.text }],
    variables: prompt.template_args ?? {},
    strategy,
    values: Object.fromEntries(numbers.map(([name, value]) => [name, String(value)])),
    nodes: limit('max_nodes'),
    seconds: limit('max_seconds'),
  };
  page.value = 'start';
  focusPrompt.value++;
}
