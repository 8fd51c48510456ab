// Which segments a text ends in.

import { isLeftOut, type TreeFilters } from '../../lib/layout/tree';
import { NONE, ROOT, type Run } from '../../lib/run';
import { segments, segmentText } from '../../lib/segments';

/** First nodes of the segments in which the query is found, or ends, top to bottom; what filters hide is not searched. */
export function search(run: Run, query: string, filters: TreeFilters): number[] {
  const wanted = query.toLowerCase();
  if (wanted === '') return [];
  const all = segments(run);
  const out: number[] = [];
  // The text before a segment counts where a match runs on into it.
  const tails: string[] = new Array(all.length).fill('');
  const stack = [0];
  for (let i = stack.pop(); i !== undefined; i = stack.pop()) {
    const s = all[i]!;
    if (s.first !== ROOT && isLeftOut(run, s.first, filters)) continue;
    const before = s.parent === NONE ? '' : tails[s.parent]!;
    const text = before + segmentText(run, s).toLowerCase();
    if (text.includes(wanted)) out.push(s.first);
    tails[i] = wanted.length > 1 ? text.slice(1 - wanted.length) : '';
    for (let k = s.children.length - 1; k >= 0; k--) stack.push(s.children[k]!);
  }
  return out;
}
