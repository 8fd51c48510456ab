// The answers that are asked for, in all views that ask: kept while others are shown.

import { signal } from '@preact/signals';

export interface Asked {
  /** Choices with commas between them, or a regular expression. */
  text: string;
  pattern: boolean;
}

export const asked = signal<Asked>({ text: '', pattern: false });
