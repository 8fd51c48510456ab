// What could stand in the place of a token of the prompt. A prompt does not change: another one begins another run.

import { bits, percent } from '../../lib/numbers';
import type { Run } from '../../lib/run';
import type { ScoredToken } from '../../lib/scored';
import { visible } from '../../lib/visible';
import { focusPrompt, setPrompt } from '../../state/draft';
import { page } from '../../state/store';

interface Props {
  run: Run;
  all: ScoredToken[];
  at: number;
}

export function PromptStep({ run, all, at }: Props) {
  const { tokens, bos, chat } = run.header.prompt;
  const token = all[at]!;
  // BOS comes by itself.
  const before = tokens
    .slice(bos ? 1 : 0, at)
    .map((t) => t.text)
    .join('');
  const grow = (text: string) => {
    setPrompt(before + text);
    page.value = 'start';
    focusPrompt.value++;
  };
  const own = visible(tokens[at]!.text) || '∅';
  return (
    <div class="inspector">
      <header>
        <h2>In the prompt: “{own}”</h2>
      </header>
      {Number.isNaN(token.bits) ? (
        <p class="dim">Nothing stands before it, so nothing could be expected.</p>
      ) : (
        <>
          <p>
            {percent(2 ** -token.bits)} · {bits(token.bits)}
          </p>
          <div class="alternatives">
            <div class="rows" role="list" aria-label="The likeliest tokens in its place">
              {token.top.map((t) => (
                <div role="listitem" key={t.text} class="prompt-row">
                  <button
                    type="button"
                    class={t.text === tokens[at]!.text ? 'step here' : 'step'}
                    disabled={chat}
                    title={chat ? undefined : 'A new run with this in its place'}
                    onClick={() => grow(t.text)}
                  >
                    <span class="bar" style={{ width: `${2 ** -t.bits * 100}%` }} />
                    <span class="key" aria-hidden="true">
                      {t.text === tokens[at]!.text ? '▸' : ''}
                    </span>
                    <span class="what">{visible(t.text) || '∅'}</span>
                    <span class="num">{percent(2 ** -t.bits)}</span>
                  </button>
                </div>
              ))}
            </div>
          </div>
        </>
      )}
      {chat ? (
        <p class="dim">The chat template laid this prompt out: “Again, with changes” changes what was said.</p>
      ) : (
        <button type="button" disabled={before === ''} onClick={() => grow('')}>
          Grow a run from here
        </button>
      )}
    </div>
  );
}
