// What could have stood in a token's place, beside the pointer: the ten most likely, to look at or to take. Keys and screen readers have the
// list beside the views, which holds the same and more.

import { useLayoutEffect, useRef } from 'preact/hooks';
import { percent } from '../../lib/numbers';
import { NONE, type Run } from '../../lib/run';
import { visible } from '../../lib/visible';
import { chance, chanceBits } from '../../lib/words';

const MOST = 10;
const GAP = 2;

export interface Hovering {
  node: number;
  box: DOMRect;
}

interface Props {
  run: Run;
  at: Hovering;
  live: boolean;
  onChoose: (token: number) => void;
  onStay: () => void;
  onLeave: () => void;
}

export function HoverCard({ run, at: { node, box }, live, onChoose, onStay, onLeave }: Props) {
  const card = useRef<HTMLDivElement>(null);
  const all = run.listed(run.parent.get(node));
  const listed = all.slice(0, MOST);
  const rest = Math.max(0, 1 - listed.reduce((sum, t) => sum + Math.exp(t.logprob), 0));
  const own = run.token.get(node);
  useLayoutEffect(() => {
    const it = card.current;
    if (!it) return;
    const { width, height } = it.getBoundingClientRect();
    const below = box.bottom + GAP + height <= innerHeight || box.top < height + GAP;
    it.style.left = `${Math.max(4, Math.min(box.left, innerWidth - width - 4))}px`;
    it.style.top = `${Math.max(4, below ? box.bottom + GAP : box.top - height - GAP)}px`;
  });
  return (
    <div class="hover-card" ref={card} aria-hidden="true" onMouseEnter={onStay} onMouseLeave={onLeave}>
      <p>
        {chance(run, node)} · {chanceBits(run, node)}
      </p>
      {listed.map((t) => {
        const can = t.node !== NONE || live;
        return (
          <div
            key={t.id}
            class={`row${t.id === own ? ' here' : ''}${can ? '' : ' dead'}`}
            onClick={() => can && onChoose(t.id)}
          >
            <span class="bar" style={{ width: `${Math.exp(t.logprob) * 100}%` }} />
            <span class="what">{visible(run.text(t.id)) || '∅'}</span>
            <span class="num">{percent(Math.exp(t.logprob))}</span>
          </div>
        );
      })}
      <p>all others {percent(rest)}</p>
    </div>
  );
}
