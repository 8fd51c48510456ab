// Short messages to the user.

import { signal } from '@preact/signals';

export interface Toast {
  id: number;
  text: string;
  kind: 'good' | 'bad';
}

export const toasts = signal<Toast[]>([]);
let next = 1;

/** Shows a message; bad news stays until it is dismissed. */
export function say(text: string, kind: Toast['kind'] = 'good'): void {
  if (toasts.value.some((t) => t.text === text)) return;
  const id = next++;
  toasts.value = [...toasts.value.slice(-4), { id, text, kind }];
  if (kind === 'good') setTimeout(() => dismiss(id), 4000);
}

export function dismiss(id: number): void {
  toasts.value = toasts.value.filter((t) => t.id !== id);
}
