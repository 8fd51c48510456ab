// The decision curve that is shown, or being found.

import { effect, signal } from '@preact/signals';
import type { Decided, Point } from '../lib/decision';
import { choicesOf, serversPatternOfChoices } from '../lib/pattern';
import * as api from './api';
import type { Asked } from './asked';
import { runDocument } from './store';
import { follow } from './tasks';

export interface Curve {
  /** The document that it is of, and the nodes of the path. */
  key: string;
  nodes: readonly number[];
  /** What was asked for. */
  asked: Asked;
  /** By their number of tokens. */
  points: ReadonlyMap<number, Point>;
  state: 'busy' | 'done' | 'stopped' | 'failed';
  /** What is being done, or why it failed. */
  words: string;
  notes: readonly string[];
  decided: Decided | null;
}

export const curve = signal<Curve | null>(null);

let end = () => {};

/** Begins to look at the path to a leaf. */
export function look(id: string, key: string, nodes: readonly number[], asked: Asked): void {
  stop();
  curve.value = {
    key,
    nodes: [...nodes],
    asked,
    points: new Map(),
    state: 'busy',
    words: 'waiting for the model to have a moment',
    notes: [],
    decided: null,
  };
  const more = (changes: Partial<Curve>) => {
    if (curve.value) curve.value = { ...curve.value, ...changes };
  };
  const what: Record<string, string> = asked.pattern
    ? { pattern: asked.text }
    : { pattern: serversPatternOfChoices(asked.text), normalize: 'true' };
  end = follow(api.decisionOf(id, nodes.at(-1)!, what), {
    progress: (words: string) => more({ words }),
    note: (note: string) => more({ notes: [...(curve.value?.notes ?? []), note] }),
    point: (point: Point) => more({ points: new Map([...(curve.value?.points ?? []), [point.tokens, point]]) }),
    end: ({ decided }: { decided: Decided | null }) => more({ state: 'done', decided }),
    failed: (words) => more({ state: 'failed', words }),
  });
}

/** Ends looking; what was found stays. */
export function stop(): void {
  end();
  if (curve.value?.state === 'busy') curve.value = { ...curve.value, state: 'stopped' };
}

/** The choices as they were written; none for a pattern. */
export const choicesAsked = (asked: Asked): string[] => (asked.pattern ? [] : choicesOf(asked.text));

/** Nobody waits for the curve of a run that is not shown. */
effect(() => {
  const key = runDocument.value?.key;
  const shown = curve.peek();
  if (shown?.state === 'busy' && shown.key !== key) stop();
});
