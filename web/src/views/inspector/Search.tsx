// Tokens of the whole vocabulary that have a text in them, most likely first.

import { useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { percent } from '../../lib/numbers';
import { visible } from '../../lib/visible';

export interface Found {
  id: number;
  text: string;
  logprob: number;
  rank: number;
}

const PAGE = 50;

interface Props {
  step: number;
  query: string;
  /** Tokens that are shown already. */
  known: ReadonlySet<number>;
  vocabulary: (node: number, query: string, offset: number) => Promise<{ tokens: Found[]; whole: boolean }>;
  onChoose: (token: Found) => void;
}

export function Search({ step, query, known, vocabulary, onChoose }: Props) {
  const found = useSignal<Found[]>([]);
  const state = useSignal<'busy' | 'more' | 'all' | string>('busy');
  const whole = useSignal(true);
  // An answer to what was asked before must not take the place of a later one.
  const asked = useRef(0);
  const load = async (offset: number) => {
    const mine = ++asked.current;
    state.value = 'busy';
    try {
      const page = await vocabulary(step, query, offset);
      if (mine !== asked.current) return;
      found.value = offset === 0 ? page.tokens : [...found.value, ...page.tokens];
      state.value = page.tokens.length < PAGE ? 'all' : 'more';
      whole.value = page.whole;
    } catch (e) {
      if (mine === asked.current) state.value = (e as Error).message;
    }
  };
  useEffect(() => {
    // Typing goes on: ask when it pauses.
    const timer = setTimeout(() => load(0), 150);
    return () => {
      clearTimeout(timer);
      asked.current++;
    };
  }, [query, step]);
  const shown = found.value.filter((t) => !known.has(t.id));
  return (
    <>
      {shown.map((t) => (
        <button
          type="button"
          role="option"
          aria-selected={false}
          key={t.id}
          class="step"
          onClick={() => onChoose(t)}
          title={`id ${t.id} · logprob ${t.logprob.toFixed(3)} · rank ${t.rank}`}
        >
          <span class="bar" style={{ width: `${Math.exp(t.logprob) * 100}%` }} />
          <span class="key" aria-hidden="true">
            #{t.rank}
          </span>
          <span class="what">{visible(t.text) || '∅'}</span>
          <span class="num">{percent(Math.exp(t.logprob))}</span>
        </button>
      ))}
      {state.value === 'busy' && <p class="other">Searching the whole vocabulary…</p>}
      {state.value === 'more' && (
        <button type="button" class="small" onClick={() => load(found.value.length)}>
          More
        </button>
      )}
      {state.value === 'all' && found.value.length === 0 && <p class="other">No single token has this in its text.</p>}
      {!whole.value && <p class="other">The engine lists no more than some tokens: only these were searched.</p>}
      {!['busy', 'more', 'all'].includes(state.value) && <p class="bad">{state.value}</p>}
    </>
  );
}
