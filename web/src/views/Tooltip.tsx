// What the canvases say beside the pointer, and aloud.

import type { Signal } from '@preact/signals';
import { useLayoutEffect, useRef } from 'preact/hooks';
import './canvas.css';

/** Text at a place of the stage; the first line is the text of tokens. */
export interface Tip {
  lines: string[];
  x: number;
  y: number;
}

export function Tooltip({ tip, stage }: { tip: Tip; stage: HTMLElement | null }) {
  const box = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => {
    const it = box.current;
    if (!it || !stage) return;
    // Left of and above the pointer where there is no room on the other side.
    const x = tip.x + 14 + it.offsetWidth > stage.clientWidth ? tip.x - 14 - it.offsetWidth : tip.x + 14;
    const y = tip.y + 14 + it.offsetHeight > stage.clientHeight ? tip.y - 14 - it.offsetHeight : tip.y + 14;
    it.style.left = `${Math.max(0, x)}px`;
    it.style.top = `${Math.max(0, y)}px`;
  });
  const [text, ...lines] = tip.lines;
  return (
    <div class="tip" role="tooltip" ref={box}>
      <div class="tip-text">{text}</div>
      {lines.map((line) => (
        <div key={line}>{line}</div>
      ))}
    </div>
  );
}

/** Told to who cannot see the canvas, whenever it changes. */
export function Spoken({ text }: { text: Signal<string> }) {
  return (
    <div class="unseen" aria-live="polite">
      {text.value}
    </div>
  );
}
