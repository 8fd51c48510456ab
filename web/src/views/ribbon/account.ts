// Where the probability of a run went.

import { type Run, State } from '../../lib/run';

export interface Account {
  finished: number;
  frontier: number;
  pruned: number;
  completions: number;
}

const CACHE = new WeakMap<Run, { version: number; account: Account }>();

/** Goes through all nodes, but once for each version of the run. */
export function accountOf(run: Run): Account {
  const known = CACHE.get(run);
  if (known?.version === run.version) return known.account;
  let completions = 0;
  for (let n = 0; n < run.size; n++) if (run.state.get(n) === State.EndToken) completions++;
  const account = { ...run.accounting(), completions };
  CACHE.set(run, { version: run.version, account });
  return account;
}
