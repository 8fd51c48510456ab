// The prompt of the shown run, scored by the model that made it.

import { effect, signal } from '@preact/signals';
import type { Run } from '../lib/run';
import { type ScoredToken, scoredTokens } from '../lib/scored';
import * as api from './api';
import { anchor, runDocument, selected } from './store';
import { say } from './toasts';

interface Scores {
  run: Run;
  state: 'busy' | 'here';
  /** One for each token of the run's prompt. */
  tokens: ScoredToken[];
}

export const scores = signal<Scores | null>(null);
/** The token of the prompt that is looked at; -1 if none is. */
export const promptAt = signal(-1);

export async function scorePrompt(run: Run): Promise<void> {
  const ids = run.header.prompt.tokens.map((t) => t.id);
  const mine: Scores = { run, state: 'busy', tokens: [] };
  scores.value = mine;
  try {
    const tokens = scoredTokens(await api.echoTokens(ids));
    if (tokens.length !== ids.length) throw new Error('the server scored other tokens than the prompt has');
    if (scores.value === mine) scores.value = { run, state: 'here', tokens };
  } catch (e) {
    if (scores.value === mine) scores.value = null;
    say(`The prompt is not scored: ${(e as Error).message}`, 'bad');
  }
}

export function hidePrompt(): void {
  scores.value = null;
  promptAt.value = -1;
}

/** Who goes to a token of the run looks at that one. */
effect(() => {
  runDocument.value?.key;
  selected.value;
  anchor.value;
  promptAt.value = -1;
});
