// A token of the text.

import { colourAt, inkOn } from '../../lib/colours';
import { level, metricOf } from '../../lib/metrics';
import type { Piece } from '../../lib/pieces';
import type { Run } from '../../lib/run';
import { inThought } from '../../lib/thought';
import { chance } from '../../lib/words';
import { marking, scheme } from '../../state/prefs';
import * as store from '../../state/store';

interface Props {
  run: Run;
  piece: Piece;
  /** The one of the tokens that the tab key reaches. */
  stop: boolean;
  /** Comes after the place where the user writes. */
  after: boolean;
  onOpen: () => void;
  onRest: (node: number, element: HTMLElement | null) => void;
}

export function Token({ run, piece, stop, after, onOpen, onRest }: Props) {
  const { node, text, name } = piece;
  const t = level(store.metric.value, metricOf(run, node, store.metric.value));
  const classes = ['tok'];
  if (store.anchor.value === node) classes.push('chosen');
  if (store.selected.value === node) classes.push('selected');
  if (run.byUser.get(node) === 1) classes.push('user');
  if (after) classes.push('later');
  const thought = inThought(run, node);
  if (thought) classes.push('thought');
  const isCut = run.isCut(node);
  if (isCut) classes.push('cut');
  const colour = colourAt(t, scheme.value);
  const style = isCut
    ? {}
    : marking.value === 'underline'
      ? { boxShadow: `inset 0 -3px 0 ${colour}` }
      : { background: colour, color: inkOn(t, scheme.value) };
  // Not a button element: that is a box of its own, in which a line feed breaks no line of the text.
  return (
    <span
      role="button"
      class={classes.join(' ')}
      data-node={node}
      tabIndex={stop ? 0 : -1}
      style={style}
      aria-label={`${name}, ${chance(run, node)}${thought ? ', thought' : ''}: alternatives`}
      onClick={onOpen}
      onMouseEnter={(e) => onRest(node, e.currentTarget)}
      onMouseLeave={() => onRest(node, null)}
    >
      {/^\n+$/.test(text) ? text.replaceAll('\n', '⏎\n') : text}
    </span>
  );
}
