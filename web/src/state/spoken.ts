// What is told to who does not see it happen.

import { signal } from '@preact/signals';

export const spoken = signal('');

export function announce(text: string): void {
  // The same words again are said again.
  spoken.value = spoken.peek() === text ? `${text}\u00a0` : text;
}
