// A pattern that is tried on paths, a few milliseconds at a time, in a worker.

import { useSignal } from '@preact/signals';
import { useEffect, useMemo, useRef } from 'preact/hooks';
import { MAX_TEXT } from '../lib/pattern';
import { type PathRow, Search } from '../lib/paths';
import type { Run } from '../lib/run';
import { type Matcher, startMatcher } from '../state/matcher';

/** Milliseconds in which texts are gathered for the worker. */
const BUDGET = 8;
/** Characters of a path that a message quotes. */
const QUOTED = 30;

export interface Searching {
  search: Search | null;
  /** Grows as more is found. */
  progress: number;
  /** What is wrong with the pattern; empty if nothing is. */
  wrong: string;
}

export function useSearch(run: Run | undefined, pattern: string, rows: PathRow[]): Searching {
  const progress = useSignal(0);
  const stopped = useSignal('');
  const unreadable = useMemo(() => problem(pattern), [pattern]);
  const search = useMemo(
    () => (run && pattern !== '' && unreadable === '' ? new Search(run) : null),
    [run, pattern, unreadable],
  );
  /** Tries what is left, unless it is at that already; null without a worker. */
  const goOn = useRef<(() => void) | null>(null);

  useEffect(() => {
    stopped.value = '';
    if (!run || !search) return;
    const asked: PathRow[] = [];
    let frame = 0;
    const more = () => {
      if (asked.length > 0) return;
      const end = performance.now() + BUDGET;
      const texts: string[] = [];
      for (const row of search.untried()) {
        asked.push(row);
        texts.push(run.pathText(row.leaf).slice(0, MAX_TEXT + 1));
        if (performance.now() > end) break;
      }
      if (texts.length > 0) matcher.try(texts);
    };
    const draw = () => {
      frame = 0;
      progress.value++;
    };
    const fail = (why: string) => {
      goOn.current = null;
      stopped.value = why;
    };
    const matcher: Matcher = startMatcher(pattern, {
      onTried: (tried) => {
        search.take(asked.shift()!, tried);
        more();
        if (frame === 0) frame = requestAnimationFrame(draw);
      },
      onStuck: () => {
        const text = Array.from(run.pathText(asked[0]!.leaf).slice(0, 2 * QUOTED));
        const quoted = text.length > QUOTED ? `${text.slice(0, QUOTED).join('')}…` : text.join('');
        fail(`This pattern takes too long on path ${search.tried + 1}, “${quoted}”: try a simpler one.`);
      },
      onError: () => fail('This page may not try patterns: its policy forbids workers.'),
    });
    goOn.current = more;
    return () => {
      goOn.current = null;
      cancelAnimationFrame(frame);
      matcher.end();
    };
  }, [run, search]);

  useEffect(() => {
    search?.over(rows);
    progress.value++;
    goOn.current?.();
  }, [search, rows]);

  return { search, progress: progress.value, wrong: unreadable || stopped.value };
}

function problem(pattern: string): string {
  try {
    new RegExp(pattern, 'u');
    return '';
  } catch (e) {
    return `This pattern cannot be read: ${(e as Error).message}`;
  }
}
