// Where answers are typed: as choices or as a pattern.

import type { ComponentChildren } from 'preact';
import { asked } from '../../state/asked';

interface Props {
  /** What to do when the form is sent, where there is something to do. */
  onSend?: () => void;
  children?: ComponentChildren;
}

export function AskForm({ onSend, children }: Props) {
  const { text, pattern } = asked.value;
  return (
    <form
      class="answers-form"
      onSubmit={(e) => {
        e.preventDefault();
        onSend?.();
      }}
    >
      <label class="grow-label">
        {pattern ? 'Regular expression; its first group is the answer' : 'Choices, with commas between them'}
        <input
          type="search"
          placeholder={pattern ? '\\b(yes|no)\\b' : 'yes, no'}
          value={text}
          onInput={(e) => (asked.value = { text: e.currentTarget.value, pattern })}
        />
      </label>
      <label class="check">
        <input
          type="checkbox"
          checked={pattern}
          onChange={(e) => (asked.value = { text, pattern: e.currentTarget.checked })}
        />
        as a regular expression
      </label>
      {children}
    </form>
  );
}
