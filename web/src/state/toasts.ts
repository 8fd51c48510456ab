// Short messages to the user.

import { signal } from '@preact/signals';

export interface Toast {
  id: number;
  text: string;
  kind: 'good' | 'bad';
}

export const toasts = signal<Toast[]>([]);
let next = 1;

/** More are a wall: the oldest make room. */
const MOST = 4;
/** Milliseconds that a message stays: bad news take longer to read. */
const STAYS = { good: 4000, bad: 15_000 };
/** While the pointer or the focus is on the messages, none of them leaves. */
export const held = signal(false);

/** Shows a message for a while. */
export function say(text: string, kind: Toast['kind'] = 'good'): void {
  if (toasts.value.some((t) => t.text === text)) return;
  const id = next++;
  toasts.value = [...toasts.value.slice(1 - MOST), { id, text, kind }];
  const leave = () => {
    if (held.peek()) setTimeout(leave, 1000);
    else dismiss(id);
  };
  setTimeout(leave, STAYS[kind]);
}

export function dismiss(id: number): void {
  toasts.value = toasts.value.filter((t) => t.id !== id);
  if (toasts.value.length === 0) held.value = false;
}
