// A response as coloured tokens. Tab comes to one of them, arrow keys go to the others.

import { useLayoutEffect, useRef, useState } from 'preact/hooks';
import { colourAt, inkOn } from '../../lib/colours';
import { percent } from '../../lib/numbers';
import { visible } from '../../lib/visible';
import type { RecordStep } from '../../lib/records';
import { scheme } from '../../state/prefs';
import { marks } from '../../state/store';
import { chance, PART, shown } from './numbers';

/** A token that is pointed at, or has the focus. */
export interface Pointed {
  step: RecordStep;
  element: HTMLElement;
}

interface Props {
  data: RecordStep[];
  label: string;
  /** The element that describes a token while it is pointed at. */
  tip: string;
  onPoint(pointed: Pointed | null): void;
}

export function Tokens({ data, label, tip, onPoint }: Props) {
  const list = useRef<HTMLDivElement>(null);
  const [start, setStart] = useState(0);
  const [active, setActive] = useState(0);
  // Keys may come faster than frames: they go on from here.
  const latest = useRef(0);
  const [moved, setMoved] = useState(false);
  const end = Math.min(data.length, start + PART);

  // After a move by key, the token that is now active gets the focus, even if it was not in the page before.
  useLayoutEffect(() => {
    if (!moved) return;
    setMoved(false);
    list.current?.querySelector<HTMLElement>('[tabindex="0"]')?.focus();
  }, [moved]);

  const show = (first: number) => {
    onPoint(null);
    setStart(first);
    setActive(first);
    latest.current = first;
  };

  const go = (i: number) => {
    const at = Math.max(0, Math.min(data.length - 1, i));
    latest.current = at;
    if (at < start || at >= end) setStart(Math.floor(at / PART) * PART);
    setActive(at);
    setMoved(true);
  };

  const onKeyDown = (e: KeyboardEvent) => {
    if (e.altKey || e.ctrlKey || e.metaKey) return;
    if (e.key === 'ArrowRight' || e.key === 'ArrowDown') go(latest.current + 1);
    else if (e.key === 'ArrowLeft' || e.key === 'ArrowUp') go(latest.current - 1);
    else if (e.key === 'PageDown') go(latest.current + 20);
    else if (e.key === 'PageUp') go(latest.current - 20);
    else if (e.key === 'Home') go(0);
    else if (e.key === 'End') go(data.length - 1);
    else return;
    e.preventDefault();
  };

  const pointed = (e: Event): [number, HTMLElement] | null => {
    const element = (e.target as HTMLElement).closest<HTMLElement>('.record-token');
    return element ? [Number(element.dataset.i), element] : null;
  };
  const over = (e: Event) => {
    const at = pointed(e);
    onPoint(at && { step: data[at[0]]!, element: at[1] });
  };
  const focus = (e: Event) => {
    const at = pointed(e);
    if (at) {
      latest.current = at[0];
      setActive(at[0]);
    }
    over(e);
  };

  return (
    <>
      {start > 0 && (
        <button type="button" class="record-more" onClick={() => show(start - PART)}>
          Tokens before ({start.toLocaleString('en')})
        </button>
      )}
      <div
        ref={list}
        class="record-tokens"
        role="listbox"
        dir="auto"
        aria-label={label}
        aria-orientation="horizontal"
        onKeyDown={onKeyDown}
        onPointerOver={over}
        onPointerLeave={() => onPoint(null)}
        onFocusIn={focus}
        onFocusOut={() => onPoint(null)}
      >
        {data.slice(start, end).map((step, k) => (
          <Token key={start + k} step={step} i={start + k} active={start + k === active} tip={tip} />
        ))}
      </div>
      {end < data.length && (
        <button type="button" class="record-more" onClick={() => show(end)}>
          More ({(data.length - end).toLocaleString('en')} tokens)
        </button>
      )}
    </>
  );
}

function Token({ step, i, active, tip }: { step: RecordStep; i: number; active: boolean; tip: string }) {
  const p = chance(step.logprob);
  return (
    <span
      class="record-token"
      role="option"
      data-i={i}
      tabIndex={active ? 0 : -1}
      aria-selected={active}
      aria-label={`${visible(step.token)}, ${percent(p)}`}
      aria-describedby={active ? tip : undefined}
      style={{ background: colourAt(1 - p, scheme.value), color: inkOn(1 - p, scheme.value) }}
    >
      {marks.value ? visible(step.token).replace(/⏎/g, '⏎\n') : shown(step.token)}
    </span>
  );
}
