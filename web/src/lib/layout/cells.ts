// How much room a text takes.

import { ROOT, type Run } from '../run';

/** A prompt may be pages: its box is no longer than this. */
export const PROMPT_CELLS = 28;

const isWide = (c: number): boolean =>
  (c >= 0x1100 && c <= 0x115f) ||
  (c >= 0x2e80 && c <= 0xa4cf) ||
  (c >= 0xac00 && c <= 0xd7a3) ||
  (c >= 0xf900 && c <= 0xfaff) ||
  (c >= 0xfe30 && c <= 0xfe6f) ||
  (c >= 0xff00 && c <= 0xff60) ||
  (c >= 0x1f300 && c <= 0x1faff) ||
  (c >= 0x20000 && c <= 0x3fffd);

const COMBINING = /\p{M}|\u200d/u;

/** Cells that a text takes in a font of equal widths; never none, or its box could not be seen. */
export function cells(text: string): number {
  let n = 0;
  for (const c of text) {
    const code = c.codePointAt(0)!;
    if (code < 0x300) n++;
    else if (!COMBINING.test(c)) n += isWide(code) ? 2 : 1;
  }
  return Math.max(1, n);
}

const CELLS = new WeakMap<Run, Map<number, number>>();

function cellsOfToken(run: Run, id: number): number {
  let known = CELLS.get(run);
  if (!known) {
    known = new Map();
    CELLS.set(run, known);
  }
  let n = known.get(id);
  if (n === undefined) {
    n = cells(run.text(id));
    known.set(id, n);
  }
  return n;
}

export const nodeCells = (run: Run, n: number): number =>
  n === ROOT ? Math.min(PROMPT_CELLS, cells(run.header.prompt.text)) : cellsOfToken(run, run.token.get(n));
