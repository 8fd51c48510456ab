// What is known of a response's token, beside it.

import { useLayoutEffect, useRef } from 'preact/hooks';
import { fixed, percent } from '../../lib/numbers';
import { visible } from '../../lib/visible';
import { candidates, chance } from './numbers';
import type { Pointed } from './Tokens';

/** Candidates that are listed; a record may have a whole vocabulary. */
const LISTED = 20;
const GAP = 6;

export function Tip({ id, pointed }: { id: string; pointed: Pointed | null }) {
  const box = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => {
    const tip = box.current;
    if (!tip || !pointed) return;
    // A token that is broken over lines has a rectangle for each: the tip goes to the first.
    const at = pointed.element.getClientRects()[0] ?? pointed.element.getBoundingClientRect();
    const { width, height } = tip.getBoundingClientRect();
    const below = at.bottom + GAP + height <= window.innerHeight || at.top < height + GAP;
    const y = below ? at.bottom + GAP : at.top - height - GAP;
    tip.style.left = `${Math.max(GAP, Math.min(at.left, window.innerWidth - width - GAP))}px`;
    tip.style.top = `${Math.max(GAP, y)}px`;
  }, [pointed]);
  return (
    <div id={id} ref={box} class="record-tip" role="tooltip" hidden={!pointed}>
      {pointed && <Candidates pointed={pointed} />}
    </div>
  );
}

function Candidates({ pointed: { step } }: { pointed: Pointed }) {
  const { rows, other } = candidates(step);
  const chosen = rows.findIndex((r) => r.chosen);
  // The chosen one is shown, wherever it stands.
  const listed = rows.filter((_, i) => i < LISTED || i === chosen);
  const rest = rows.reduce((sum, r, i) => (i < LISTED || i === chosen ? sum : sum + chance(r.logprob)), other);
  return (
    <>
      <p class="record-tip-head">
        <span class="record-tip-token">{name(step.token)}</span> {percent(chance(step.logprob))}, logprob{' '}
        {fixed(step.logprob, 4)}
      </p>
      <table>
        <tbody>
          {listed.map((r, i) => (
            <tr key={i} class={r.chosen ? 'record-chosen' : ''}>
              <td>{r.chosen ? '▸' : ''}</td>
              <td class="record-tip-token">
                {name(r.token)}
                {r.chosen && <span class="record-unseen"> (chosen)</span>}
              </td>
              <td class="record-number">{percent(chance(r.logprob))}</td>
              <td class="record-number">{fixed(r.logprob)}</td>
            </tr>
          ))}
          <tr class="record-other">
            <td />
            <td>other</td>
            <td class="record-number">{percent(rest)}</td>
            <td />
          </tr>
        </tbody>
      </table>
    </>
  );
}

const name = (token: string): string => visible(token.slice(0, 60)) || '(empty)';
