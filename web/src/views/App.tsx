// The page: one bar, the runs at the left where they are wanted, and what is shown.

import { useSignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import { harmless } from '../lib/visible';
import { openFiles, reading } from '../state/files';
import { help, onHandKeys, onKeys } from '../state/keys';
import * as live from '../state/live';
import { narrow, showRuns } from '../state/prefs';
import { spoken } from '../state/spoken';
import { current, failure, maximised, page } from '../state/store';
import { Bar } from './Bar';
import { Help } from './Help';
import { RecordsView } from './Records';
import { Runs } from './Runs';
import { ScoreView } from './Score';
import { Start } from './Start';
import { Toasts } from './Toasts';
import { Workspace } from './Workspace';

export function App() {
  const dragging = useSignal(false);
  useEffect(() => {
    const end = new AbortController();
    const on = <K extends keyof WindowEventMap>(type: K, f: (e: WindowEventMap[K]) => void) =>
      addEventListener(type, f, { signal: end.signal });
    on('keydown', onKeys);
    addEventListener('keydown', onHandKeys, { signal: end.signal, capture: true });
    on('dragover', (e) => {
      e.preventDefault();
      dragging.value = e.dataTransfer?.types.includes('Files') ?? false;
    });
    on('dragleave', (e) => {
      if (e.relatedTarget === null) dragging.value = false;
    });
    on('drop', (e) => {
      e.preventDefault();
      dragging.value = false;
      openFiles(e.dataTransfer?.files ?? []);
    });
    return () => end.abort();
  }, []);

  const document = current.value;
  useEffect(() => {
    const name = page.value === 'run' && document ? harmless(document.name).replace(/\s+/g, ' ').trim() : '';
    globalThis.document.title = name === '' ? 'logitree' : `${name.slice(0, 60)} · logitree`;
  }, [document, page.value]);

  const classes = ['app'];
  if (maximised.value && page.value === 'run') classes.push('maximised');
  if (dragging.value) classes.push('dragging');
  const withRuns = showRuns.value && !maximised.value;
  return (
    <div class={classes.join(' ')}>
      <Bar />
      {reading.value && (
        <label class="reading">
          Reading {harmless(reading.value.name)}: {Math.floor(reading.value.part * 100)} %
          <progress max={1} value={reading.value.part} />
        </label>
      )}
      <div class="body">
        {withRuns && (
          <>
            {narrow.value && <div class="veil" onClick={() => (showRuns.value = false)} />}
            <nav class="side" id="runs" aria-label="Runs and files">
              <Runs />
            </nav>
          </>
        )}
        <main class="main">
          <Main />
        </main>
      </div>
      {help.value && <Help />}
      <Toasts />
      <div class="unseen" aria-live="polite">
        {spoken.value}
      </div>
    </div>
  );
}

function Main() {
  const document = current.value;
  if (failure.value !== null) return <Failure text={failure.value} />;
  if (live.missing.value !== null)
    return (
      <Failure text={`There is no run “${harmless(live.missing.value)}” on this server: it may have been deleted.`} />
    );
  if (page.value === 'score') return <ScoreView />;
  if (page.value === 'start' || !document) return <Start />;
  if (document.kind === 'records') return <RecordsView key={document.key} document={document} />;
  return <Workspace key={document.key} />;
}

/** Why there is nothing to see, and where to go. */
function Failure({ text }: { text: string }) {
  return (
    <section class="failure" role="alert">
      <p>{text}</p>
      {live.server.value && (
        <button
          type="button"
          class="primary"
          onClick={() => {
            live.missing.value = null;
            failure.value = null;
            page.value = 'start';
          }}
        >
          To the first page
        </button>
      )}
    </section>
  );
}
