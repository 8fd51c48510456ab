// The tabs of the views, and beside them what the shown one can do.

import type { ComponentChildren } from 'preact';
import { useLayoutEffect } from 'preact/hooks';
import { narrow } from '../state/prefs';
import { maximised, VIEWS, type View, view } from '../state/store';

export const NAMES: Record<View, string> = {
  outline: 'Outline',
  tree: 'Tree',
  ribbon: 'Ribbon',
  curves: 'Curves',
  paths: 'Paths',
  answers: 'Answers',
  compare: 'Compare',
  layers: 'Layers',
  decision: 'Decision',
};

/** The tabs are made anew with their view: the chosen one keeps the focus. */
let refocus = false;

function go(to: View): void {
  // The shown view's tab is there already: a later drawing must not take the focus from where it has gone since.
  refocus = view.peek() !== to;
  view.value = to;
}

export function ViewBar({ children }: { children?: ComponentChildren }) {
  // Where the tabs have no room side by side, the chosen one is in sight.
  useLayoutEffect(() => {
    document.getElementById(`tab-${view.peek()}`)?.scrollIntoView({ block: 'nearest', inline: 'nearest' });
  }, []);
  useLayoutEffect(() => {
    if (refocus) document.getElementById(`tab-${view.peek()}`)?.focus();
    refocus = false;
  });
  return (
    <div class="view-bar">
      <div class="tabs" role="tablist" aria-label="Views">
        {VIEWS.map((v, i) => (
          <button
            type="button"
            key={v}
            role="tab"
            id={`tab-${v}`}
            aria-controls="view"
            aria-selected={view.value === v}
            tabIndex={view.value === v ? 0 : -1}
            title={`${NAMES[v]} (${i + 1})`}
            onClick={() => go(v)}
            onKeyDown={(e) => {
              const step = { ArrowRight: 1, ArrowLeft: -1 }[e.key];
              if (!step) return;
              e.stopPropagation();
              go(VIEWS[(VIEWS.indexOf(v) + step + VIEWS.length) % VIEWS.length]!);
            }}
          >
            {NAMES[v]}
          </button>
        ))}
      </div>
      {children}
      {!narrow.value && (
        <button
          type="button"
          class="icon"
          aria-pressed={maximised.value}
          aria-label={maximised.value ? 'Back to all parts' : 'The view in the whole window'}
          title={maximised.value ? 'Back to all parts (m, Esc)' : 'The view in the whole window (m)'}
          onClick={() => (maximised.value = !maximised.value)}
        >
          {maximised.value ? '⤡' : '⤢'}
        </button>
      )}
    </div>
  );
}
