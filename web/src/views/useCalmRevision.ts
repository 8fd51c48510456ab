// Long lists follow a growing run at a calmer pace than the canvases.

import { useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { revision as current } from '../state/store';

/** How often a list follows a growing run, in ms: every frame would be too often for long ones. */
const CALM = 100;

/** The run's revision, at most every 100 ms. */
export function useCalmRevision(): number {
  const revision = current.value;
  const calm = useSignal(revision);
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  useEffect(() => {
    if (timer.current !== undefined || calm.peek() === revision) return;
    timer.current = setTimeout(() => {
      timer.current = undefined;
      calm.value = current.peek();
    }, CALM);
  }, [revision]);
  useEffect(() => () => clearTimeout(timer.current), []);
  return calm.value;
}
