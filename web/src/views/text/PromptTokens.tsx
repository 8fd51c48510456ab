// The tokens of a scored prompt, coloured as those of the path are.

import { colourAt, inkOn } from '../../lib/colours';
import { level } from '../../lib/metrics';
import { bits, count, percent } from '../../lib/numbers';
import type { Run } from '../../lib/run';
import type { ScoredToken } from '../../lib/scored';
import { harmless, visible } from '../../lib/visible';
import { openList } from '../../state/keys';
import { marking, narrow, scheme } from '../../state/prefs';
import { promptAt } from '../../state/prompt';
import * as store from '../../state/store';

/** Tokens that are shown: of a longer prompt, the last. */
const MOST = 1200;

export function PromptTokens({ run, all }: { run: Run; all: ScoredToken[] }) {
  const { tokens } = run.header.prompt;
  const first = Math.max(0, tokens.length - MOST);
  const metric = store.metric.value;
  const go = (i: number, element: HTMLElement) => {
    const to = element.parentElement?.querySelector<HTMLElement>(`[data-prompt="${i}"]`);
    to?.focus();
  };
  return (
    <span class="prompt scored-prompt" role="group" aria-label="The prompt, scored">
      {first > 0 && <span class="dim">… {count(first, 'token')} before · </span>}
      {tokens.slice(first).map((t, k) => {
        const i = first + k;
        const { bits: surprisal } = all[i]!;
        const value = { surprisal, probability: 2 ** -surprisal, rank: Number.NaN, entropy: Number.NaN }[metric];
        const at = level(metric, value);
        const colour = colourAt(at, scheme.value);
        const known = !Number.isNaN(at);
        const style = !known
          ? {}
          : marking.value === 'underline'
            ? { boxShadow: `inset 0 -3px 0 ${colour}` }
            : { background: colour, color: inkOn(at, scheme.value) };
        const open = () => {
          promptAt.value = i;
          if (narrow.value) openList();
        };
        const name = visible(t.text) || '∅';
        return (
          <span
            key={i}
            role="button"
            data-prompt={i}
            class={i === promptAt.value ? 'tok selected' : 'tok'}
            tabIndex={i === Math.max(first, promptAt.value) ? 0 : -1}
            style={style}
            title={
              Number.isNaN(surprisal) ? 'nothing stands before it' : `${percent(2 ** -surprisal)} · ${bits(surprisal)}`
            }
            aria-label={`${name}, ${Number.isNaN(surprisal) ? 'the first token' : percent(2 ** -surprisal)}: alternatives`}
            onClick={open}
            onKeyDown={(e) => {
              const step = { ArrowRight: 1, ArrowLeft: -1 }[e.key];
              if (e.key === 'Enter' || e.key === ' ') open();
              else if (step) go(i + step, e.currentTarget);
              else return;
              e.preventDefault();
              e.stopPropagation();
            }}
          >
            {store.marks.value ? visible(t.text).replaceAll('⏎', '⏎\n') : harmless(t.text)}
          </span>
        );
      })}
    </span>
  );
}
