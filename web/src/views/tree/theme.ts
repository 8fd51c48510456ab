// The page's colours, for a canvas.

export interface Theme {
  bg: string;
  raised: string;
  line: string;
  text: string;
  dim: string;
  accent: string;
  focus: string;
  sans: string;
}

export function readTheme(element: Element): Theme {
  const style = getComputedStyle(element);
  const get = (name: string, fallback: string) => style.getPropertyValue(`--${name}`).trim() || fallback;
  return {
    bg: get('bg', '#14171c'),
    raised: get('raised', '#242a33'),
    line: get('line', '#363e4a'),
    text: get('text', '#e8ebf0'),
    dim: get('dim', '#a8b0bd'),
    accent: get('accent', '#7fb4ff'),
    focus: get('focus', '#ffd166'),
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
