// A button that opens a short list of things to do. Esc, a click elsewhere and a choice close it; the focus goes back to the button.

import { useSignal } from '@preact/signals';
import type { ComponentChildren } from 'preact';
import { useEffect, useRef } from 'preact/hooks';

interface Props {
  label: string;
  /** What stands on the button; the label, if nothing else. */
  sign?: string;
  class?: string;
  children: (close: () => void) => ComponentChildren;
}

export function Menu({ label, sign, class: kind = '', children }: Props) {
  const open = useSignal(false);
  const box = useRef<HTMLDivElement>(null);
  const button = useRef<HTMLButtonElement>(null);
  const close = () => {
    open.value = false;
    button.current?.focus();
  };
  const items = () => [...(box.current?.querySelectorAll<HTMLElement>('[role^="menuitem"]') ?? [])];

  useEffect(() => {
    if (!open.value) return;
    items()[0]?.focus();
    const outside = (e: PointerEvent) => {
      if (!box.current?.parentElement?.contains(e.target as Node)) open.value = false;
    };
    addEventListener('pointerdown', outside);
    return () => removeEventListener('pointerdown', outside);
  }, [open.value]);

  const onKey = (e: KeyboardEvent) => {
    if (!open.value) return;
    const all = items();
    const at = all.indexOf(document.activeElement as HTMLElement);
    if (e.key === 'Escape') close();
    else if (e.key === 'ArrowDown') all[(at + 1) % all.length]?.focus();
    else if (e.key === 'ArrowUp') all[(at - 1 + all.length) % all.length]?.focus();
    else if (e.key === 'Tab') {
      open.value = false;
      return;
    } else return;
    e.preventDefault();
    e.stopPropagation();
  };
  return (
    <div class="menu-place" onKeyDown={onKey}>
      <button
        ref={button}
        type="button"
        class={kind}
        aria-haspopup="menu"
        aria-expanded={open.value}
        aria-label={label}
        title={label}
        onClick={() => (open.value = !open.value)}
      >
        {sign ?? label}
      </button>
      {open.value && (
        <div class="menu" role="menu" aria-label={label} ref={box}>
          {children(close)}
        </div>
      )}
    </div>
  );
}
