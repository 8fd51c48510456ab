// What is said about the ribbon's boxes.

import { nodeAt, preorder, type RestPart, type RibbonLayout } from '../../lib/layout/ribbon';
import { count, percent } from '../../lib/numbers';
import { harmless, visible } from '../../lib/visible';
import { ROOT, type Run, State } from '../../lib/run';
import { chance, mass, massBits } from '../../lib/words';
import { reasonOf, textOf } from '../tree/words';

/** Name of what a hatched box stands for. */
export function restName(run: Run, last: number, part: RestPart): string {
  if (part === 'hidden') return part;
  if (part === 'pruned') return 'not followed';
  switch (run.state.get(last)) {
    case State.MaxDepth:
      return 'depth limit';
    case State.Decided:
      return 'decided';
    case State.Context:
      return 'context full';
    default:
      return 'still open';
  }
}

const shorten = (text: string, most: number): string => (text.length > most ? `${text.slice(0, most)}…` : text);

/** Lines of the tooltip; the first is the text. */
export function describe(run: Run, l: RibbonLayout, i: number, x: number, marks: boolean): string[] {
  const first = l.first[i]!;
  const last = l.last[i]!;
  const text = shorten(textOf(run, first, last, 80), 400);
  const lines = [marks ? visible(text) : harmless(text)];
  if (first === ROOT) lines.push('prompt');
  else {
    const n = nodeAt(run, l, i, x);
    const tokens = run.depth.get(last) - run.depth.get(first) + 1;
    lines.push(`probability ${chance(run, first)}, ${percent(l.share[i]!)} of its box`);
    lines.push(`whole path ${mass(run, last)}, ${massBits(run, last)}`);
    lines.push(count(tokens, 'token'));
    if (tokens > 1) lines.push(`here: “${visible(run.nodeText(n))}”, ${chance(run, n)}`);
  }
  lines.push(reasonOf(run, last)?.[1] ?? count(l.childCount[i]!, 'branch', 'branches'));
  return lines;
}

/** Lines of the tooltip of a hatched box. */
export function describeRest(run: Run, l: RibbonLayout, i: number, part: RestPart): string[] {
  const share = l[part][i]!;
  const first = l.first[i]!;
  const after = first === ROOT ? 'the prompt' : `“${visible(shorten(textOf(run, first, l.last[i]!, 12), 60))}”`;
  return [
    `${restName(run, l.last[i]!, part)} ${percent(share)}`,
    `of what begins with ${after}`,
    `${percent(run.mass(first) * share)} of all`,
  ];
}

/** A box in words, for who cannot see the canvas. */
export function sentence(run: Run, l: RibbonLayout, i: number): string {
  const first = l.first[i]!;
  if (first === ROOT) return `Prompt, ${count(l.childCount[i]!, 'branch', 'branches')}`;
  return [
    shorten(textOf(run, first, l.last[i]!, 40), 200),
    chance(run, first),
    `whole path ${mass(run, l.last[i]!)}`,
    reasonOf(run, l.last[i]!)?.[1] ?? count(l.childCount[i]!, 'branch', 'branches'),
  ].join(', ');
}

/** What is drawn, as text. */
export function dump(run: Run, l: RibbonLayout): string {
  return preorder(l)
    .map((i) => {
      // Indents of a ribbon of thousands of levels would be most of the text.
      const indent = '  '.repeat(Math.min(l.level[i]!, 64));
      const parts = [JSON.stringify(textOf(run, l.first[i]!, l.last[i]!, 40)), percent(l.share[i]!)];
      const reason = reasonOf(run, l.last[i]!);
      if (reason) parts.push(reason[0]);
      if (l.shares === 'true' && l.open[i]! > 0)
        parts.push(`${restName(run, l.last[i]!, 'open')} ${percent(l.open[i]!)}`);
      if (l.hidden[i]! > 0) parts.push(`hidden ${percent(l.hidden[i]!)}`);
      if (l.shares === 'true' && l.pruned[i]! > 0) parts.push(`not followed ${percent(l.pruned[i]!)}`);
      return indent + parts.join(' ');
    })
    .join('\n');
}
