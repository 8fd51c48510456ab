// What is said about a place on the charts.

import { BITS } from '../../lib/metrics';
import { bits } from '../../lib/numbers';
import { visible } from '../../lib/visible';
import { NONE, ROOT, type Run } from '../../lib/run';
import { chance, chanceBits } from '../../lib/words';

const shorten = (text: string): string => (text.length > 60 ? `${text.slice(0, 60)}…` : text);

/** The token of a node, with its place. */
export const tokenName = (run: Run, n: number): string =>
  n === ROOT ? 'prompt' : `${run.depth.get(n)} “${visible(shorten(run.nodeText(n)))}”`;

/** Numbers of a node's token. */
export function tokenLine(run: Run, n: number): string {
  if (n <= ROOT) return tokenName(run, ROOT);
  const parent = run.parent.get(n);
  const rank = run.rank(n);
  const least = parent !== NONE && run.bound.get(parent) === 1 ? '≥ ' : '';
  return [
    tokenName(run, n),
    `surprisal ${chanceBits(run, n)}`,
    `entropy ${least}${bits(run.entropy.get(parent) * BITS)}`,
    Number.isNaN(rank) ? 'rank unknown' : `rank ${rank}`,
    chance(run, n),
  ].join(' · ');
}
