// What is written on and beside the tree's boxes.

import { preorder, type TreeLayout } from '../../lib/layout/tree';
import { count, percent } from '../../lib/numbers';
import { harmless, oneLine, visible } from '../../lib/visible';
import { NONE, ROOT, type Run, State } from '../../lib/run';
import { chance, mass, massBits } from '../../lib/words';

const REASONS: Record<number, [glyph: string, text: string]> = {
  [State.Open]: ['○', 'still open: nobody has looked further yet'],
  [State.EndToken]: ['■', 'finished: an end token'],
  [State.MaxDepth]: ['…', 'stopped at the depth limit'],
  [State.Pruned]: ['✂', 'not followed: the strategy left it'],
  [State.Decided]: ['✓', 'decided: the answer is known'],
  [State.Context]: ['▮', 'stopped: the context is full'],
};

const CUT: [glyph: string, text: string] = ['✗', 'cut by the sampler'];

/** Glyph and words for why a segment ends; null where it goes on. */
export const reasonOf = (run: Run, last: number): [glyph: string, text: string] | null =>
  run.isCut(last) ? CUT : (REASONS[run.state.get(last)] ?? null);

/** Text of a segment, of at most so many tokens: a chain may have thousands. */
export function textOf(run: Run, first: number, last: number, most: number): string {
  if (first === ROOT) return run.header.prompt.text;
  const tokens: number[] = [];
  let n = first;
  for (; n !== NONE && tokens.length < most; n = run.firstChild.get(n)) {
    tokens.push(run.token.get(n));
    if (n === last) return run.textOf(tokens);
  }
  return `${run.textOf(tokens)}…`;
}

const CHARACTERS = 90;

interface Label {
  last: number;
  characters: string[];
  /** More follows. */
  more: boolean;
  room: string;
  lines: string[];
}

/** Short texts of boxes. Measuring is slow, and zooming asks for other lengths in each frame: characters are measured once. */
export class Labels {
  private readonly cache = new Map<number, Label>();
  private readonly widths = new Map<string, number>();

  constructor(
    private readonly measure: (text: string) => number,
    private readonly marks: boolean,
  ) {}

  width(text: string): number {
    let w = this.widths.get(text);
    if (w === undefined) {
      w = this.measure(text);
      this.widths.set(text, w);
    }
    return w;
  }

  /** Text of a segment in a line that is at most so wide, or in two where the second has any room. */
  lines(run: Run, first: number, last: number, room: number, second: number): string[] {
    let label = this.cache.get(first);
    if (label?.last !== last) {
      const text = oneLine(textOf(run, first, last, CHARACTERS), this.marks)
        .slice(0, 2 * CHARACTERS)
        .trimStart();
      // Not in the middle of a surrogate pair.
      const all = Array.from(text);
      label = { last, characters: all.slice(0, CHARACTERS), more: all.length > CHARACTERS, room: '', lines: [] };
      this.cache.set(first, label);
    }
    const rooms = `${room} ${second}`;
    if (label.room !== rooms) {
      label.room = rooms;
      const { characters, more } = label;
      const fit = second > 0 ? this.fitting(characters, room) : characters.length;
      const head = characters.slice(0, fit).join('').trimEnd();
      label.lines =
        fit < characters.length && second > 0
          ? [head, this.cut(characters.slice(fit), more, second)]
          : [this.cut(characters, more, room)];
    }
    return label.lines;
  }

  /** How many characters a line has room for, up to the end of a word where there is one. */
  private fitting(characters: string[], room: number): number {
    let [width, word] = [0, 0];
    for (let i = 0; i < characters.length; i++) {
      width += this.width(characters[i]!);
      if (width > room) return word > 0 ? word : i;
      if (characters[i] === ' ' || characters[i] === '·') word = i + 1;
    }
    return characters.length;
  }

  private cut(characters: string[], more: boolean, room: number): string {
    const dots = this.width('…');
    let width = 0;
    // Characters that fit with dots after them.
    let fit = 0;
    for (let i = 0; i < characters.length; i++) {
      width += this.width(characters[i]!);
      if (width + dots <= room) fit = i + 1;
      if (width > room) return `${characters.slice(0, fit).join('')}…`;
    }
    return more ? `${characters.slice(0, fit).join('')}…` : characters.join('');
  }
}

/** Probability of a segment's first token, where the text branches. */
export const branchChance = (run: Run, first: number): string => (first === ROOT ? '' : chance(run, first));

/** Lines of the tooltip; the first is the text. */
export function describe(run: Run, layout: TreeLayout, i: number, marks: boolean): string[] {
  const first = layout.first[i]!;
  const last = layout.last[i]!;
  const text = textOf(run, first, last, 80);
  const shown = marks ? visible(text) : harmless(text);
  const lines = [shown.length > 400 ? `${shown.slice(0, 400)}…` : shown];
  if (first === ROOT) lines.push('prompt');
  else {
    const tokens = run.depth.get(last) - run.depth.get(first) + 1;
    lines.push(`${chance(run, first)} at the branch`);
    if (tokens > 1)
      lines.push(
        `${run.isPathRough(last) ? '≈ ' : ''}${percent(Math.exp(run.chainLogprob(run.parent.get(first), last)))} for its ${count(tokens, 'token')}`,
      );
    else lines.push('1 token');
    lines.push(`path: ${mass(run, last)}, ${massBits(run, last)}`);
  }
  const reason = reasonOf(run, last);
  if (reason) lines.push(`${reason[0]} ${reason[1]}`);
  const hidden = layout.hidden[i]!;
  if (hidden > 0)
    lines.push(
      `${layout.collapsed[i] ? 'collapsed' : 'hidden'}: ${count(hidden, 'token')}, ${percent(layout.hiddenMass[i]!)}`,
    );
  return lines;
}

/** What is drawn, as text. */
export function dump(run: Run, layout: TreeLayout): string {
  const lines: string[] = [];
  for (const i of preorder(layout)) {
    const first = layout.first[i]!;
    const reason = reasonOf(run, layout.last[i]!);
    const hidden = layout.hidden[i]!;
    const parts = [JSON.stringify(textOf(run, first, layout.last[i]!, CHARACTERS)), branchChance(run, first)];
    if (reason) parts.push(reason[0]);
    if (hidden > 0) parts.push(`+${hidden}`);
    // Indents of a tree of thousands of levels would be most of the text.
    lines.push('  '.repeat(Math.min(layout.level[i]!, 64)) + parts.filter((p) => p !== '').join(' '));
  }
  return lines.join('\n');
}
