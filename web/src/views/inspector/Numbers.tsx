// Numbers of a step.

import { BITS } from '../../lib/metrics';
import { bits, count, fixed, percent } from '../../lib/numbers';
import { ROOT, type Run } from '../../lib/run';
import { chance, chanceBits, mass, massBits } from '../../lib/words';

/** The share that a few tokens shall have together. */
const MOST = 0.9;

export function Numbers({ run, step, node }: { run: Run; step: number; node: number }) {
  const listed = run.listed(step);
  const entropy = run.entropy.get(step);
  const bound = run.bound.get(step) === 1 ? '≥ ' : '';
  let sum = 0;
  const inTopP = listed.findIndex((t) => {
    if (Number.isNaN(t.rank)) return false;
    sum += Math.exp(t.logprob);
    return sum >= MOST;
  });
  const threshold = run.threshold.get(step);
  const samples = node === ROOT ? 0 : run.samples.get(node);
  return (
    <dl>
      {node !== ROOT && (
        <>
          <dt>Token</dt>
          <dd>
            {chance(run, node)} · {chanceBits(run, node)}
          </dd>
          <dt>Path to it</dt>
          <dd>
            {mass(run, node)} · {massBits(run, node)}
          </dd>
        </>
      )}
      {samples > 0 && (
        <>
          <dt>Drawn</dt>
          <dd>{count(samples, 'time')}</dd>
        </>
      )}
      {!Number.isNaN(entropy) && (
        <>
          <dt title="How many bits the choice was worth on average">Entropy</dt>
          <dd>
            {bound}
            {bits(entropy * BITS)}
          </dd>
          {bound === '' && (
            <>
              <dt title="How much the surprisal of the tokens varies">Varentropy</dt>
              <dd>{fixed(run.varentropy.get(step) * BITS * BITS, 2)} bits²</dd>
            </>
          )}
        </>
      )}
      <dt>90 % is held by</dt>
      <dd>{inTopP >= 0 ? count(inTopP + 1, 'token') : `more than ${count(listed.length, 'token')}`}</dd>
      {!Number.isNaN(threshold) && (
        <>
          <dt title="Tokens above it became branches">Threshold</dt>
          <dd>
            {percent(threshold)}, with {count(run.queue.get(step), 'path')} open
          </dd>
        </>
      )}
    </dl>
  );
}
