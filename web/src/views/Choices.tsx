// What could have stood in a token's place: a list to choose from.

import { useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { percent, visible } from '../lib/numbers';
import { sampledStep } from '../lib/resampled';
import { NONE, type Run } from '../lib/run';
import { PLAIN } from '../lib/sampler';
import { sampledText } from '../lib/words';
import { sampler } from '../state/store';

interface Props {
  run: Run;
  node: number;
  x: number;
  y: number;
  live: boolean;
  onShut: () => void;
  onChoose: (token: number) => void;
}

export function Choices({ run, node, x, y, live, onShut, onChoose }: Props) {
  const filter = useSignal('');
  const box = useRef<HTMLDivElement>(null);
  const all = run.listed(run.parent.get(node));
  const rest = Math.max(0, 1 - all.reduce((sum, t) => sum + Math.exp(t.logprob), 0));
  const wanted = filter.value.toLowerCase();
  const step = sampledStep(all, sampler.value);
  const changed = sampler.value !== PLAIN;
  const listed = all.map((t, i) => ({ ...t, i })).filter((t) => run.text(t.id).toLowerCase().includes(wanted));
  const own = run.token.get(node);

  useEffect(() => {
    const here =
      box.current?.querySelector<HTMLElement>('[aria-selected="true"]') ?? box.current?.querySelector('input');
    here?.focus();
    const outside = (e: PointerEvent) => {
      if (!box.current?.contains(e.target as Node)) onShut();
    };
    addEventListener('pointerdown', outside);
    return () => removeEventListener('pointerdown', outside);
  }, [node]);

  const onKey = (e: KeyboardEvent) => {
    if (e.key === 'Escape') {
      e.stopPropagation();
      onShut();
      return;
    }
    const step = { ArrowDown: 1, ArrowUp: -1 }[e.key];
    if (!step) return;
    e.preventDefault();
    const options = [...(box.current?.querySelectorAll<HTMLElement>('input, [role="option"]:not(:disabled)') ?? [])];
    const at = options.indexOf(document.activeElement as HTMLElement);
    options[Math.min(options.length - 1, Math.max(0, at + step))]?.focus();
  };

  return (
    <div
      class="choices"
      ref={box}
      style={{ left: `${Math.max(4, x)}px`, top: `${y}px` }}
      role="dialog"
      aria-label="Alternatives"
      onKeyDown={onKey}
    >
      <input
        type="search"
        placeholder="Filter"
        aria-label="Filter the list"
        value={filter.value}
        onInput={(e) => (filter.value = e.currentTarget.value)}
      />
      <div role="listbox" aria-label="Tokens that could stand here">
        {listed.map((t) => {
          const here = t.id === own;
          const mark = here ? 'here' : t.node !== NONE ? 'in tree' : live ? 'live' : '';
          const p = Math.exp(t.logprob);
          return (
            <button
              type="button"
              role="option"
              key={t.id}
              aria-selected={here}
              class={changed && step.probs[t.i] === 0 ? 'cut' : ''}
              aria-label={`${run.text(t.id)}, ${percent(p)} ${changed ? sampledText(step, t.i) : ''} ${mark}`}
              disabled={mark === ''}
              title={mark === '' ? 'Not in this file; there is no model to go on with' : `id ${t.id}`}
              onClick={() => onChoose(t.id)}
            >
              <span class="what">{visible(run.text(t.id))}</span>
              <span class="num">{percent(p)}</span>
              <span class="num">{changed ? sampledText(step, t.i) : t.logprob.toFixed(2)}</span>
              <span class="mark">
                {Number.isNaN(t.rank) ? '' : `#${t.rank} `}
                {mark}
              </span>
              <span class="share" style={{ width: `${step.probs[t.i]! * 100}%` }} />
            </button>
          );
        })}
      </div>
      <p class="other">
        other {percent(rest)}
        {changed && ` → ${step.exact ? '' : '≈ '}${percent(step.other)}`}
      </p>
    </div>
  );
}
