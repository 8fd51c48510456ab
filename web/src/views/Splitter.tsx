// A line between two parts that can be moved; a double click puts it back where it was at first.

import type { Signal } from '@preact/signals';
import { useRef } from 'preact/hooks';

interface Props {
  label: string;
  /** `row`: the parts are above each other. */
  axis: 'row' | 'column';
  /** Pixels of the part that is measured; null is its own size. */
  size: Signal<number | null>;
  least: number;
  most: () => number;
  /** The part that is measured: before the line, or after it. */
  part: 'before' | 'after';
}

const STEP = 24;

export function Splitter({ label, axis, size, least, most, part }: Props) {
  const line = useRef<HTMLDivElement>(null);
  const start = useRef<{ at: number; size: number } | null>(null);
  const measured = (): number => {
    const it = part === 'before' ? line.current?.previousElementSibling : line.current?.nextElementSibling;
    const r = it?.getBoundingClientRect();
    return (axis === 'row' ? r?.height : r?.width) ?? least;
  };
  const set = (x: number) => {
    size.value = Math.round(Math.min(most(), Math.max(least, x)));
  };
  const at = (e: PointerEvent) => (axis === 'row' ? e.clientY : e.clientX);
  const sign = part === 'before' ? 1 : -1;
  const onKey = (e: KeyboardEvent) => {
    const [less, more] = axis === 'row' ? ['ArrowUp', 'ArrowDown'] : ['ArrowLeft', 'ArrowRight'];
    if (e.key === less) set(measured() - sign * STEP);
    else if (e.key === more) set(measured() + sign * STEP);
    else if (e.key === 'Home') set(least);
    else if (e.key === 'End') set(most());
    else if (e.key === 'Enter') size.value = null;
    else return;
    e.preventDefault();
    e.stopPropagation();
  };
  return (
    <div
      ref={line}
      class={`splitter ${axis}`}
      role="separator"
      tabIndex={0}
      aria-label={label}
      aria-orientation={axis === 'row' ? 'horizontal' : 'vertical'}
      aria-valuenow={Math.round(size.value ?? measured())}
      aria-valuemin={least}
      aria-valuemax={Math.round(most())}
      onKeyDown={onKey}
      onDblClick={() => (size.value = null)}
      onPointerDown={(e) => {
        e.currentTarget.setPointerCapture(e.pointerId);
        start.current = { at: at(e), size: measured() };
      }}
      onPointerMove={(e) => {
        if (start.current) set(start.current.size + sign * (at(e) - start.current.at));
      }}
      onPointerUp={() => (start.current = null)}
      onPointerCancel={() => (start.current = null)}
    />
  );
}
