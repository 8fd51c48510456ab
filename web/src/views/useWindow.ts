// Which rows of a long list are in sight.

import { type Signal, useSignal } from '@preact/signals';
import type { RefObject } from 'preact';
import { useEffect, useRef } from 'preact/hooks';

export interface Sight {
  box: RefObject<HTMLDivElement | null>;
  top: Signal<number>;
  height: Signal<number>;
}

export function useWindow(): Sight {
  const box = useRef<HTMLDivElement>(null);
  const top = useSignal(0);
  const height = useSignal(600);
  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const onScroll = () => {
      top.value = element.scrollTop;
    };
    const size = new ResizeObserver(() => {
      height.value = element.clientHeight;
    });
    element.addEventListener('scroll', onScroll, { passive: true });
    size.observe(element);
    return () => {
      element.removeEventListener('scroll', onScroll);
      size.disconnect();
    };
  }, []);
  return { box, top, height };
}

/** First and last row to draw, with some beyond the edges. */
export function inSight(sight: Sight, rows: number, rowHeight: number): [number, number] {
  const first = Math.max(0, Math.floor(sight.top.value / rowHeight) - 8);
  return [first, Math.min(rows, Math.ceil((sight.top.value + sight.height.value) / rowHeight) + 8)];
}

/** Scrolls so that a row is in sight. */
export function bringIntoSight(sight: Sight, row: number, rowHeight: number): void {
  const element = sight.box.current;
  if (!element) return;
  const y = row * rowHeight;
  if (y < element.scrollTop) element.scrollTop = y;
  else if (y + rowHeight > element.scrollTop + element.clientHeight - rowHeight) {
    element.scrollTop = y + 2 * rowHeight - element.clientHeight;
  }
}
