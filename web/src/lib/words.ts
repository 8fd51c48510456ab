// States and probabilities of nodes in words.

import { BITS } from './metrics';
import { bits, percent } from './numbers';
import type { SampledStep } from './resampled';
import { type Run, State } from './run';

const WORDS: Record<State, string> = {
  [State.Open]: 'still open',
  [State.Expanded]: '',
  [State.EndToken]: 'end token',
  [State.MaxDepth]: 'depth limit',
  [State.Pruned]: 'not followed',
  [State.Decided]: 'decided',
  [State.Context]: 'context full',
};

/** Why a path goes no further, or nothing. */
export const reason = (run: Run, n: number): string => (run.isCut(n) ? 'cut' : WORDS[run.state.get(n) as State]);

/** What a sampler makes of a token of a step's list. */
export const sampledText = (step: SampledStep, i: number): string =>
  step.probs[i] === 0 ? 'cut' : `${step.exact ? '→' : '≈'} ${percent(step.probs[i]!)}`;

const about = (rough: boolean, text: string): string => (rough ? `≈ ${text}` : text);

/** Probability of a node's token. */
export const chance = (run: Run, n: number): string => about(run.isRough(n), percent(run.probOf(n)));

/** Surprisal of a node's token. */
export const chanceBits = (run: Run, n: number): string => about(run.isRough(n), bits(-run.logprobOf(n) * BITS));

/** Probability of a path. */
export const mass = (run: Run, n: number): string => about(run.isPathRough(n), percent(run.mass(n)));

/** Surprisal of a path. */
export const massBits = (run: Run, n: number): string => about(run.isPathRough(n), bits(-run.pathLogprobOf(n) * BITS));
