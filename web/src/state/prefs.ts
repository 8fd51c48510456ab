// What the user chose about the page itself, kept from one visit to the next.

import { computed, effect, type Signal, signal } from '@preact/signals';
import type { Scheme } from '../lib/colours';
import { hostTheme } from './host';

/** A page opened as a file may have no storage: then it is kept until the page goes. */
const store = (() => {
  try {
    return globalThis.localStorage;
  } catch {
    return undefined;
  }
})();

function read(name: string): unknown {
  try {
    return JSON.parse(store?.getItem(`logitree.${name}`) ?? 'null');
  } catch {
    return null;
  }
}

/** A signal that is kept; what is stored and is no value of it is not taken. */
export function kept<T>(name: string, initial: T, isValue: (x: unknown) => boolean): Signal<T> {
  const stored = read(name);
  const out = signal<T>(isValue(stored) ? (stored as T) : initial);
  let first = true;
  effect(() => {
    const value = JSON.stringify(out.value);
    if (!first) {
      try {
        store?.setItem(`logitree.${name}`, value);
      } catch {
        // The storage is full or forbidden: the value lives as long as the page.
      }
    }
    first = false;
  });
  return out;
}

const isBoolean = (x: unknown) => typeof x === 'boolean';
const isShare = (x: unknown) => x === null || (typeof x === 'number' && x > 0 && x < 4000);

export const THEMES = ['system', 'light', 'dark'] as const;
export type Theme = (typeof THEMES)[number];
export const theme = kept<Theme>('theme', 'system', (x) => THEMES.includes(x as Theme));

/** How tokens are marked: on their ground, or by a line below them. */
export const MARKINGS = ['fill', 'underline'] as const;
export type Marking = (typeof MARKINGS)[number];
export const marking = kept<Marking>('marking', 'fill', (x) => MARKINGS.includes(x as Marking));

/** Whether the list of runs stands beside the views. */
export const showRuns = kept('runs', false, isBoolean);
/** Whether the alternatives stand beside the views. */
export const showStep = kept('step', true, isBoolean);
/** Height of the text in pixels, where the user has set one. */
export const textHeight = kept<number | null>('text-height', null, isShare);
/** Width of the alternatives in pixels, where the user has set one. */
export const stepWidth = kept<number | null>('step-width', null, isShare);

const media = globalThis.matchMedia?.('(prefers-color-scheme: light)');
const system = signal<Scheme>(media?.matches ? 'light' : 'dark');
media?.addEventListener('change', () => {
  system.value = media.matches ? 'light' : 'dark';
});
const forcedMedia = globalThis.matchMedia?.('(forced-colors: active)');
const forced = signal(forcedMedia?.matches ?? false);
forcedMedia?.addEventListener('change', () => {
  forced.value = forcedMedia.matches;
});
/** Which colours the page has now. Where the system forces its own, what is drawn goes with them. */
export const scheme = computed<Scheme>(() =>
  forced.value ? system.value : theme.value === 'system' ? (hostTheme.value ?? system.value) : theme.value,
);

/** Keeps the page's colours as they are chosen. */
export function followTheme(): void {
  effect(() => {
    document.documentElement.dataset.theme = scheme.value;
  });
}

/** Whether the window is no wider than this, in pixels. */
function isWithin(width: number): Signal<boolean> {
  const query = globalThis.matchMedia?.(`(max-width: ${width}px)`);
  const out = signal(query?.matches ?? false);
  query?.addEventListener('change', () => {
    out.value = query.matches;
  });
  return out;
}

/** Narrower windows show one thing below the other. */
export const narrow = isWithin(760);
/** The bar has no room for all that can be done: the rest is in a menu. */
export const compact = isWithin(1100);
