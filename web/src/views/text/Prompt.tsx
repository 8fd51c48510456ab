// The prompt: as it was given, or as the exact tokens that the model saw. A long one is folded to its end.

import { useSignal } from '@preact/signals';
import { count } from '../../lib/numbers';
import type { Run } from '../../lib/run';
import { harmless, visible } from '../../lib/visible';
import { scores } from '../../state/prompt';
import { PromptTokens } from './PromptTokens';

/** Characters and lines of a prompt that are shown; of a longer one, so many characters of its end. */
const MOST = 320;
const LINES = 5;
const END = 150;

export function Prompt({ run, marks }: { run: Run; marks: boolean }) {
  const open = useSignal(false);
  const { text, tokens, messages } = run.header.prompt;
  const shown = scores.value;
  if (shown?.run === run && shown.state === 'here') return <PromptTokens run={run} all={shown.tokens} />;
  const long = text.length > MOST || text.split('\n').length > LINES;
  if (long && !open.value) {
    const words = text.split(/\s+/).length;
    return (
      <>
        <button type="button" class="small fold" aria-expanded={false} onClick={() => (open.value = true)}>
          Show all of the prompt ({tokens.length > 0 ? count(tokens.length, 'token') : count(words, 'word')})
        </button>{' '}
        <span class="prompt">
          …{marks ? visible(ending(text)) : harmless(ending(text))}
          {messages?.length ? '\n' : ''}
        </span>
      </>
    );
  }
  const fold = long && (
    <>
      <button type="button" class="small fold" aria-expanded={true} onClick={() => (open.value = false)}>
        Fold the prompt
      </button>{' '}
    </>
  );
  if (marks && tokens.length > 0)
    return (
      <>
        {fold}
        <span class="prompt">{tokens.map((t) => visible(t.text).replaceAll('⏎', '⏎\n')).join('')}</span>
      </>
    );
  if (!messages?.length)
    return (
      <>
        {fold}
        <span class="prompt">{harmless(text)}</span>
      </>
    );
  return (
    <>
      {fold}
      <span class="prompt">
        {messages.map((m, i) => (
          <span key={i}>
            <b>{harmless(m.role)}</b> {harmless(m.content)}
            {'\n'}
          </span>
        ))}
        <b>assistant</b>{' '}
      </span>
    </>
  );
}

/** The last lines of a text, from the beginning of a word. */
function ending(text: string): string {
  const end = text.slice(-END).split('\n').slice(-3).join('\n');
  return end.replace(/^\S*\s/, '') || end;
}
