// Which segments a text ends in, and going from one to the next.

import { signal } from '@preact/signals';
import { isLeftOut, type TreeFilters } from '../../lib/layout/tree';
import { NONE, ROOT, type Run } from '../../lib/run';
import { segments, segmentText } from '../../lib/segments';
import { query } from '../../state/store';

/** A growing run is searched anew at most this often, in milliseconds. */
const SEARCH_EVERY = 1000;

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

/** What a view has found of the store's query. */
export class Finder {
  /** `at`: the hit that was gone to, or NONE. */
  readonly found = signal<{ hits: number[]; at: number }>({ hits: [], at: NONE });
  private searched = 0;

  constructor(
    private readonly run: Run,
    private readonly filters: () => TreeFilters,
  ) {
    this.search();
  }

  /** The hit that was gone to, or NONE. */
  get current(): number {
    const { hits, at } = this.found.peek();
    return hits[at] ?? NONE;
  }

  /** The query is another. */
  search(): void {
    this.found.value = { hits: this.hits(), at: NONE };
  }

  /** Hits come and go with the run and the filters; the current one stays current. */
  again(): void {
    const before = this.current;
    const hits = this.hits();
    this.found.value = { hits, at: hits.indexOf(before) };
  }

  /** The run may have grown. */
  follow(): void {
    if (query.peek() !== '' && performance.now() - this.searched > SEARCH_EVERY) this.again();
  }

  /** The next hit (1) or the one before (-1), which becomes the current one; NONE if there is none. */
  step(by: 1 | -1): number {
    this.again();
    const { hits, at } = this.found.peek();
    if (hits.length === 0) return NONE;
    const next = at === NONE ? (by === 1 ? 0 : hits.length - 1) : (at + by + hits.length) % hits.length;
    this.found.value = { hits, at: next };
    return hits[next]!;
  }

  private hits(): number[] {
    this.searched = performance.now();
    return search(this.run, query.peek(), this.filters());
  }
}
