// Short messages at the foot of the page.

import { harmless } from '../lib/visible';
import { dismiss, held, toasts } from '../state/toasts';

export function Toasts() {
  return (
    <div
      class="toasts"
      aria-live="polite"
      onMouseEnter={() => (held.value = true)}
      onMouseLeave={() => (held.value = false)}
      onFocusIn={() => (held.value = true)}
      onFocusOut={() => (held.value = false)}
    >
      {toasts.value.map((t) => (
        <div key={t.id} class={`toast ${t.kind}`} role={t.kind === 'bad' ? 'alert' : 'status'}>
          <span>{harmless(t.text)}</span>
          <button type="button" class="icon" onClick={() => dismiss(t.id)} aria-label="Dismiss">
            ×
          </button>
        </div>
      ))}
    </div>
  );
}
