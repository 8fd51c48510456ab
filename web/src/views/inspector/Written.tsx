// Text that the user writes in a token's place: its tokens, and a button that puts them there.

import { useSignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import { count } from '../../lib/numbers';
import { visible } from '../../lib/visible';
import * as live from '../../state/live';

interface Props {
  step: number;
  text: string;
  /** What comes before ends with a space. */
  afterSpace: boolean;
}

type Tokens = { id: number; text: string }[];

export function Written({ step, text, afterSpace }: Props) {
  const ways = useSignal<Tokens[]>([]);
  const busy = useSignal(false);
  useEffect(() => {
    let stale = false;
    const timer = setTimeout(async () => {
      // A word usually has its space before it.
      const wanted = afterSpace || /^[\s\p{P}]/u.test(text) ? [text] : [` ${text}`, text];
      const all = await Promise.all(wanted.map((t) => live.tokensOf(t).catch(() => null)));
      if (!stale) ways.value = all.filter((t): t is Tokens => t !== null && t.length > 0);
    }, 250);
    return () => {
      stale = true;
      clearTimeout(timer);
    };
  }, [text, afterSpace]);
  return (
    <div class="written">
      {ways.value.map((tokens) => (
        <button
          type="button"
          key={tokens.map((t) => t.id).join()}
          disabled={busy.value}
          title={tokens.map((t) => visible(t.text)).join(' | ')}
          onClick={async () => {
            busy.value = true;
            await live.write(step, tokens);
            busy.value = false;
          }}
        >
          Write “{visible(tokens.map((t) => t.text).join(''))}” ({count(tokens.length, 'token')})
        </button>
      ))}
    </div>
  );
}
