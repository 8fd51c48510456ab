// Runs to look at: those of the server, newest first, and samples that need no model.

import { useSignal } from '@preact/signals';
import { count } from '../../lib/numbers';
import { harmless } from '../../lib/visible';
import { hashOf } from '../../state/address';
import { openFiles } from '../../state/files';
import * as live from '../../state/live';
import { say } from '../../state/toasts';
import { hasServer, send } from '../../state/transport';
import { when } from '../../lib/when';

const SAMPLES: [file: string, name: string, what: string][] = [
  ['india.jsonl', 'The capital of India is', 'Every way that gemma-3-270m goes on, 12 tokens deep.'],
  ['prime.jsonl', 'Is the number 91 prime?', 'A question with two answers: see how sure the model is in “Answers”.'],
  ['story.jsonl', 'The old lighthouse keeper', '24 texts drawn by chance, laid over each other in “Ribbon”.'],
];

/** Cards that are shown before all are asked for. */
const FEW = 6;

export function Samples() {
  const all = useSignal(false);
  const runs = live.runs.value;
  const shown = all.value ? runs : runs.slice(0, FEW);
  return (
    <>
      {runs.length > 0 && (
        <section aria-labelledby="your-runs">
          <h2 id="your-runs">Runs on this server</h2>
          <ul class="gallery">
            {shown.map((r) => (
              <li key={r.id}>
                <h3 dir="auto">
                  <a href={hashOf(r.id, 'outline')}>{harmless(r.name)}</a>
                </h3>
                {r.kind === 'run' ? (
                  <>
                    {r.prompt !== r.name && (
                      <p class="gallery-prompt" dir="auto">
                        {harmless(r.prompt.slice(0, 240))}
                      </p>
                    )}
                    <p class="dim">
                      {harmless(r.model)} · {count(r.status.nodes, 'node')} ·{' '}
                      {count(r.status.completed, 'finished path')} · {r.status.state}
                      {r.created && ` · ${when(r.created)}`}
                    </p>
                    <p>
                      <a href={hashOf(r.id, 'outline')}>Text</a> <a href={hashOf(r.id, 'tree')}>Tree</a>{' '}
                      <a href={hashOf(r.id, 'ribbon')}>Ribbon</a>
                    </p>
                  </>
                ) : (
                  <p>
                    <a href={hashOf(r.id, 'outline')}>Records</a>
                  </p>
                )}
              </li>
            ))}
          </ul>
          {runs.length > FEW && !all.value && (
            <button type="button" onClick={() => (all.value = true)}>
              Show all {runs.length}
            </button>
          )}
        </section>
      )}
      {hasServer() && (
        <section aria-labelledby="samples">
          <h2 id="samples">Samples to look at, without a model</h2>
          <ul class="gallery">
            {SAMPLES.map(([file, name, what]) => (
              <li key={file}>
                <h3>
                  <button type="button" class="link" onClick={() => openSample(file)}>
                    {name}
                  </button>
                </h3>
                <p class="dim">{what}</p>
              </li>
            ))}
          </ul>
        </section>
      )}
    </>
  );
}

async function openSample(file: string): Promise<void> {
  try {
    const answer = await send(`/samples/${file}`);
    if (!answer.ok) throw new Error(`the server answers ${answer.status}`);
    await openFiles([new File([await answer.blob()], file)]);
  } catch (e) {
    say(`The sample cannot be opened: ${(e as Error).message}`, 'bad');
  }
}
