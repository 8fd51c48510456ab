// A conversation, turn by turn, and what else the chat template is given.

import type { Message } from '../../lib/format';
import { change } from '../../state/draft';

const ROLES = ['system', 'user', 'assistant'];

export function Conversation({ turns }: { turns: Message[] }) {
  const set = (i: number, what: Partial<Message>) =>
    change({ turns: turns.map((t, k) => (k === i ? { ...t, ...what } : t)) });
  const next = turns.at(-1)?.role === 'user' ? 'assistant' : 'user';
  return (
    <div class="turns">
      {turns.map((turn, i) => (
        <fieldset key={i} class="turn">
          <legend class="unseen">Turn {i + 1}</legend>
          <select
            aria-label={`Role of turn ${i + 1}`}
            value={turn.role}
            onChange={(e) => set(i, { role: e.currentTarget.value })}
          >
            {ROLES.map((role) => (
              <option key={role}>{role}</option>
            ))}
          </select>
          <textarea
            rows={2}
            dir="auto"
            aria-label={`Text of turn ${i + 1}`}
            value={turn.content}
            onInput={(e) => set(i, { content: e.currentTarget.value })}
          />
          <button
            type="button"
            class="icon"
            disabled={turns.length === 1}
            aria-label={`Remove turn ${i + 1}`}
            onClick={() => change({ turns: turns.filter((_, k) => k !== i) })}
          >
            ×
          </button>
        </fieldset>
      ))}
      <div class="buttons">
        <button type="button" onClick={() => change({ turns: [...turns, { role: next, content: '' }] })}>
          Add a turn
        </button>
        {turns[0]?.role !== 'system' && (
          <button type="button" onClick={() => change({ turns: [{ role: 'system', content: '' }, ...turns] })}>
            Add a system message
          </button>
        )}
      </div>
    </div>
  );
}

/** Variables of the chat template that the run had; nothing is shown where it had none. */
export function Variables({ variables }: { variables: Record<string, unknown> }) {
  const all = Object.entries(variables);
  if (all.length === 0) return null;
  return (
    <p class="dim">
      The chat template is given {all.map(([name, value]) => `${name} = ${JSON.stringify(value)}`).join(', ')}.{' '}
      <button type="button" class="small" onClick={() => change({ variables: {} })}>
        Leave out
      </button>
    </p>
  );
}
