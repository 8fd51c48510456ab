// A text as the model sees it: how surprising each token is, and a run from any of them.

import { useSignal } from '@preact/signals';
import { colourAt, inkOn } from '../lib/colours';
import { bits, count, fixed } from '../lib/numbers';
import { type Scored, scoredOf } from '../lib/scored';
import { harmless, visible } from '../lib/visible';
import * as api from '../state/api';
import { focusPrompt, setPrompt } from '../state/draft';
import * as live from '../state/live';
import { scheme } from '../state/prefs';
import { page } from '../state/store';
import './start.css';
import './text.css';

/** What was scored last, while another page is shown. */
const last: { text: string; scored: Scored | null } = { text: '', scored: null };
/** Bits that are as surprising as can be. */
const STRONG = 6;

export function ScoreView() {
  const text = useSignal(last.text);
  const scored = useSignal(last.scored);
  const busy = useSignal(false);
  const wrong = useSignal('');
  const at = useSignal(-1);
  const model = live.server.value?.model;
  if (!model) return <p class="empty">Scoring needs a model: this server only shows files.</p>;
  const submit = async (e: Event) => {
    e.preventDefault();
    if (busy.value || text.value === '') return;
    busy.value = true;
    wrong.value = '';
    at.value = -1;
    try {
      scored.value = scoredOf(await api.echo(text.value), text.value);
      last.scored = scored.value;
    } catch (error) {
      wrong.value = (error as Error).message;
    } finally {
      busy.value = false;
    }
  };
  const s = scored.value;
  const chosen = s?.tokens[at.value];
  return (
    <div class="start score">
      <header>
        <h1>How surprising is this text?</h1>
        <p>Paste any text. Each token is coloured by how little {model.name} expected it.</p>
      </header>
      <form
        class="grow"
        onSubmit={submit}
        onKeyDown={(e) => {
          if (e.key === 'Enter' && (e.ctrlKey || e.metaKey)) submit(e);
        }}
      >
        <textarea
          rows={6}
          aria-label="Text to score"
          dir="auto"
          value={text.value}
          onInput={(e) => {
            text.value = e.currentTarget.value;
            last.text = text.value;
          }}
        />
        <div class="grow-row">
          <span class="space" />
          <button type="submit" class="primary large" disabled={busy.value || text.value === ''} title="Ctrl+Enter">
            {busy.value ? 'Reading…' : 'Score'}
          </button>
        </div>
        {wrong.value && (
          <p class="bad" role="alert">
            {wrong.value}
          </p>
        )}
      </form>
      {s && (
        <section aria-label="Scored text">
          <p class="facts" role="status">
            {count(s.tokens.length, 'token')} · {bits(s.bits)} · {fixed(s.bits / Math.max(1, s.scored), 2)} bits a token
            · perplexity {fixed(2 ** (s.bits / Math.max(1, s.scored)), 2)}
          </p>
          <div class="text-flow scored" dir="auto">
            {s.tokens.map((t, i) => {
              const level = Math.min(1, t.bits / STRONG);
              return (
                <span
                  key={i}
                  role="button"
                  tabIndex={i === Math.max(0, at.value) ? 0 : -1}
                  class={i === at.value ? 'tok selected' : 'tok'}
                  style={
                    Number.isNaN(t.bits)
                      ? {}
                      : { background: colourAt(level, scheme.value), color: inkOn(level, scheme.value) }
                  }
                  title={Number.isNaN(t.bits) ? 'the first token has nothing before it' : bits(t.bits)}
                  aria-label={`${visible(t.text)}, ${bits(t.bits)}`}
                  onClick={() => (at.value = i)}
                  onKeyDown={(e) => {
                    const step = { ArrowRight: 1, ArrowLeft: -1 }[e.key];
                    if (e.key === 'Enter' || e.key === ' ') at.value = i;
                    else if (step) {
                      at.value = Math.max(0, Math.min(s.tokens.length - 1, i + step));
                      const to = e.currentTarget.parentElement?.children[at.value] as HTMLElement | undefined;
                      to?.focus();
                    } else return;
                    e.preventDefault();
                  }}
                >
                  {harmless(t.text)}
                </span>
              );
            })}
          </div>
          {chosen && (
            <div class="scored-step">
              <h2>Instead of “{visible(chosen.text)}”</h2>
              {chosen.top.length > 0 && (
                <ul>
                  {chosen.top.map((o) => (
                    <li key={o.text}>
                      <span class="what">{visible(o.text)}</span> <span class="num">{bits(o.bits)}</span>
                    </li>
                  ))}
                </ul>
              )}
              <button
                type="button"
                onClick={() => {
                  setPrompt(
                    s.tokens
                      .slice(0, at.value)
                      .map((t) => t.text)
                      .join(''),
                  );
                  page.value = 'start';
                  focusPrompt.value++;
                }}
                disabled={at.value === 0}
              >
                Grow a run from here
              </button>
            </div>
          )}
        </section>
      )}
    </div>
  );
}
