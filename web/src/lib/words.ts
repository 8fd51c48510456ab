// States of nodes in words.

import { type Run, State } from './run';

const WORDS: Record<State, string> = {
  [State.Open]: 'open',
  [State.Expanded]: '',
  [State.EndToken]: 'ends',
  [State.MaxDepth]: 'depth limit',
  [State.Pruned]: 'pruned',
  [State.Decided]: 'decided',
};

/** Why a path goes no further, or nothing. */
export const reason = (run: Run, n: number): string => WORDS[run.state.get(n) as State];
