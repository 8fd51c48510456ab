// One step: what could stand there, how sure the model was, and what a sampler would make of it.

import { useSignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import { ROOT, State } from '../lib/run';
import { visible } from '../lib/visible';
import * as live from '../state/live';
import { promptAt, scores } from '../state/prompt';
import * as store from '../state/store';
import { Alternatives, type Vocabulary } from './inspector/Alternatives';
import { PromptStep } from './inspector/PromptStep';
import { Numbers } from './inspector/Numbers';
import { Sliders } from './inspector/Sliders';
import './inspector.css';

interface Props {
  onChoose: (parent: number, token: number) => void;
  live: boolean;
  vocabulary?: Vocabulary;
}

export function InspectorView({ onChoose, live: canGoOn, vocabulary }: Props) {
  store.revision.value;
  const run = store.runDocument.value?.run;
  const after = store.lookAfter;
  const numbers = useSignal(true);
  // Another token is looked at for what chose it, unless the user writes by hand.
  const selected = store.selected.value;
  useEffect(() => {
    if (!store.byHand.peek()) after.value = false;
  }, [selected]);
  if (!run) return null;
  if (promptAt.value >= 0 && scores.value?.run === run && scores.value.state === 'here')
    return <PromptStep run={run} all={scores.value.tokens} at={promptAt.value} />;
  const node = Math.min(selected, run.size - 1);
  const isAfter = node === ROOT || after.value;
  const step = isAfter ? node : run.parent.get(node);
  const known = run.state.get(step) === State.Expanded;
  const name = visible(run.nodeText(node)) || '∅';
  return (
    <div class="inspector">
      <header>
        <h2>{node === ROOT ? 'After the prompt' : isAfter ? `After “${name}”` : `Instead of “${name}”`}</h2>
        {node !== ROOT && (
          <div class="switch" role="group" aria-label="Which step">
            <button type="button" class="small" aria-pressed={!after.value} onClick={() => (after.value = false)}>
              This token
            </button>
            <button type="button" class="small" aria-pressed={after.value} onClick={() => (after.value = true)}>
              The next
            </button>
          </div>
        )}
      </header>
      {known ? (
        <Alternatives
          key={store.runDocument.value?.key}
          run={run}
          step={step}
          here={isAfter ? null : run.token.get(node)}
          live={canGoOn}
          onChoose={(token) => onChoose(step, token)}
          {...(vocabulary ? { vocabulary } : {})}
        />
      ) : (
        <p class="dim">{waiting(canGoOn)}</p>
      )}
      {canGoOn && (
        <div class="actions" role="group" aria-label={node === ROOT ? 'From the prompt' : `From “${name}”`}>
          <button
            type="button"
            onClick={() => live.goOnFrom(node)}
            title="30 more tokens after the selected one, the most likely at each step"
          >
            Continue from here
          </button>
          <button
            type="button"
            onClick={() => live.exploreFrom(node)}
            title="100 more nodes below the selected token, branching as the run does"
          >
            Explore here
          </button>
        </div>
      )}
      {known && (
        <details open={numbers.value} onToggle={(e) => (numbers.value = e.currentTarget.open)}>
          <summary>How sure the model was</summary>
          <Numbers run={run} step={step} node={node} />
        </details>
      )}
      <Sliders />
    </div>
  );
}

/** What is said while there is no list. */
function waiting(canGoOn: boolean): string {
  const state = live.status.value?.state;
  if (state === 'running' || state === 'queued')
    return 'The model has not come so far yet: the list appears as soon as it has.';
  if (live.isWriting.value) return 'The model is writing: the list appears in a moment.';
  return canGoOn
    ? 'Nobody has looked further yet: “Continue from here” does.'
    : 'The file has nothing after this token.';
}
