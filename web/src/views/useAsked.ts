// What the server is asked for while the user moves from place to place: only the last answer counts, and answers are kept.

import { useSignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';

export type Asked<T> = { state: 'waiting' } | { state: 'here'; value: T } | { state: 'failed'; why: string };

/** Milliseconds after which a place is asked about: a key that is held down passes many. */
const PAUSE = 150;
/** Answers that are kept. */
const KEPT = 50;

/** Asks for what belongs to a key. `known` keeps the answers, also while the view is not shown. */
export function useAsked<T>(key: string, known: Map<string, T>, ask: () => Promise<T>): Asked<T> {
  const failed = useSignal<{ key: string; why: string } | null>(null);
  const answered = useSignal(0);
  useEffect(() => {
    if (known.has(key)) return;
    let stale = false;
    failed.value = null;
    const timer = setTimeout(async () => {
      try {
        const value = await ask();
        if (known.size >= KEPT) known.delete(known.keys().next().value!);
        known.set(key, value);
        answered.value++;
      } catch (e) {
        if (!stale) failed.value = { key, why: (e as Error).message };
      }
    }, PAUSE);
    return () => {
      stale = true;
      clearTimeout(timer);
    };
  }, [key]);
  answered.value;
  const value = known.get(key);
  if (value !== undefined) return { state: 'here', value };
  return failed.value?.key === key ? { state: 'failed', why: failed.value.why } : { state: 'waiting' };
}
