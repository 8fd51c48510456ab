// Tells what a model thinks from what it answers. Models that reason first write their thoughts between two marks.

import { NONE, ROOT, type Run } from './run';

/** What opens and what closes a thought, by model family; the same list as in the program. */
const MARKS: [open: string, close: string][] = [
  ['<think>', '</think>'],
  ['<|channel>thought', '<channel|>'],
  ['<|channel|>analysis<|message|>', '<|end|>'],
  ['[THINK]', '[/THINK]'],
  ['<|START_THINKING|>', '<|END_THINKING|>'],
  ['<seed:think>', '</seed:think>'],
];
/** No mark is longer. */
const LONGEST = 32;
const CLOSED = -1;

/** What has been read of a path: which mark is open, and the last characters, in which a mark may have begun. */
export interface Reading {
  open: number;
  tail: string;
}

/** Reads on; the reading itself does not change. */
export function read(from: Reading, text: string): Reading {
  let { open, tail } = from;
  // Marks are plain ASCII, so whole characters do as well as bytes.
  for (const c of text) {
    tail += c;
    const next =
      open === CLOSED
        ? MARKS.findIndex(([mark]) => tail.endsWith(mark))
        : tail.endsWith(MARKS[open]![1])
          ? CLOSED
          : open;
    if (next !== open) {
      open = next;
      tail = '';
    }
  }
  return { open, tail: tail.slice(-LONGEST) };
}

/** A reading of a prompt. Some chat templates end with an open thought. */
export const afterPrompt = (prompt: string): Reading => read({ open: CLOSED, tail: '' }, prompt);

/** Whether the text between two readings belongs to a thought; what completes a mark does. */
export const isThought = (before: Reading, after: Reading): boolean => before.open !== CLOSED || after.open !== CLOSED;

const known = new WeakMap<Run, Reading[]>();

/** Whether a node's token belongs to a thought. Readings are kept, since a run only grows. */
export function inThought(run: Run, node: number): boolean {
  if (node === ROOT || node === NONE) return false;
  let readings = known.get(run);
  if (!readings) {
    readings = [afterPrompt(run.header.prompt.text)];
    known.set(run, readings);
  }
  // Parents come before their children.
  for (let n = readings.length; n <= node; n++) {
    readings.push(read(readings[run.parent.get(n)]!, run.text(run.token.get(n))));
  }
  return isThought(readings[run.parent.get(node)]!, readings[node]!);
}
