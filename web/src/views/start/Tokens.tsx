// The exact tokens that the model will see.

import { useSignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import { count } from '../../lib/numbers';
import { visible } from '../../lib/visible';
import * as api from '../../state/api';

interface TokenInfo {
  id: number;
  text: string;
  special: boolean;
}

/** Tokens that are shown: the beginning of a long prompt says enough. */
const SHOWN = 200;

/** The tokens of a prompt, a moment after it was typed; `model` says which model's. */
export function useTokens(prompt: api.Prompt, isWhole: boolean, model: string): { list: TokenInfo[]; wrong: string } {
  const found = useSignal<{ list: TokenInfo[]; wrong: string }>({ list: [], wrong: '' });
  useEffect(() => {
    let stale = false;
    const timer = setTimeout(async () => {
      try {
        const list = isWhole ? await api.tokenize(prompt) : [];
        if (!stale) found.value = { list, wrong: '' };
      } catch (e) {
        if (!stale) found.value = { list: [], wrong: (e as Error).message };
      }
    }, 200);
    return () => {
      stale = true;
      clearTimeout(timer);
    };
  }, [JSON.stringify(prompt), model]);
  return found.value;
}

export function Tokens({ tokens, wrong }: { tokens: TokenInfo[]; wrong: string }) {
  return (
    <div class="tokens" role="group" aria-label="What the model will see">
      {wrong !== '' && <span class="bad">{wrong}</span>}
      {tokens.length > 0 && <span class="dim">{count(tokens.length, 'token')}</span>}
      {tokens.slice(0, SHOWN).map((t, i) => (
        <span key={i} class={t.special ? 'token special' : 'token'} title={`id ${t.id}`}>
          {visible(t.text)}
        </span>
      ))}
      {tokens.length > SHOWN && <span class="dim">…</span>}
    </div>
  );
}
