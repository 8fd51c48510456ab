// The page's colours, for a canvas.

import type { Scheme } from '../../lib/colours';
import { scheme } from '../../state/prefs';

export interface Theme {
  scheme: Scheme;
  bg: string;
  raised: string;
  line: string;
  text: string;
  dim: string;
  /** The path, what is selected, what was found. */
  path: string;
  select: string;
  found: string;
  sans: string;
}

export function readTheme(element: Element): Theme {
  const style = getComputedStyle(element);
  const get = (name: string, fallback: string) => style.getPropertyValue(`--${name}`).trim() || fallback;
  return {
    scheme: scheme.peek(),
    bg: get('bg', '#14171c'),
    raised: get('raised', '#242a33'),
    line: get('line', '#363e4a'),
    text: get('text', '#e8ebf0'),
    dim: get('dim', '#a8b0bd'),
    path: get('path', '#6db3ff'),
    select: get('select', '#e58cf0'),
    found: get('found', '#5fd0a5'),
    sans: get('sans', 'sans-serif'),
  };
}

/** Calls back when the page's theme changes; returns what ends that. */
export function onThemeChange(f: () => void): () => void {
  const media = matchMedia('(prefers-color-scheme: light)');
  const observer = new MutationObserver(f);
  observer.observe(document.documentElement, { attributes: true, attributeFilter: ['data-theme', 'class', 'style'] });
  media.addEventListener('change', f);
  return () => {
    observer.disconnect();
    media.removeEventListener('change', f);
  };
}
