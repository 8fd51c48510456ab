// The page: runs on the left, the path above everything, text and tree side by side.

import { useSignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import { count, percent } from '../lib/numbers';
import type { Header } from '../lib/format';
import type { Run } from '../lib/run';
import { inWords, PLAIN } from '../lib/sampler';
import { openFiles, reading } from '../state/files';
import * as live from '../state/live';
import { current, leaf, path, resampled, revision, runDocument, sample, sampler, VIEWS, view } from '../state/store';
import { CurvesView } from './Curves';
import { Gallery } from './Gallery';
import { InspectorView } from './Inspector';
import { NewRun } from './NewRun';
import { OutlineView } from './Outline';
import { PathsView } from './Paths';
import { RecordsView } from './Records';
import { RibbonView } from './Ribbon';
import { Runs } from './Runs';
import { TextView } from './Text';
import { Toasts } from './Toasts';
import { TreeView } from './Tree';

const NAMES = { outline: 'Outline', tree: 'Tree', ribbon: 'Ribbon', curves: 'Curves', paths: 'Paths' } as const;

export function App() {
  /** The form of a new run is shown, empty or with what a run was made of. */
  const creating = useSignal<'empty' | Header | null>(null);

  useEffect(() => {
    const over = (e: DragEvent) => e.preventDefault();
    const drop = (e: DragEvent) => {
      e.preventDefault();
      openFiles(e.dataTransfer?.files ?? []);
    };
    addEventListener('dragover', over);
    addEventListener('drop', drop);
    return () => {
      removeEventListener('dragover', over);
      removeEventListener('drop', drop);
    };
  }, []);

  const document = current.value;
  const canStart = live.server.value?.model != null;
  return (
    <div class="app">
      <header class="bar">
        <h1>
          <a href="#" title="All runs">
            logitree
          </a>
        </h1>
        {canStart && (
          <button
            type="button"
            class="primary"
            onClick={() => (creating.value = creating.value ? null : 'empty')}
            aria-expanded={creating.value !== null}
          >
            New run
          </button>
        )}
        <label class="button">
          Open files
          <input
            type="file"
            multiple
            class="hidden-input"
            onChange={(e) => {
              const input = e.currentTarget;
              openFiles([...(input.files ?? [])]).then(() => {
                input.value = '';
              });
            }}
          />
        </label>
        <RunStatus />
      </header>
      {reading.value && (
        <label class="reading">
          Reading {reading.value.name}: {Math.floor(reading.value.part * 100)} %
          <progress max={1} value={reading.value.part} />
        </label>
      )}
      <nav class="side" aria-label="Runs and files">
        <Runs />
      </nav>
      <main class="main">
        {creating.value && (
          <NewRun
            key={creating.value === 'empty' ? 'empty' : document?.key}
            model={creating.value === 'empty' ? null : creating.value}
            done={() => (creating.value = null)}
          />
        )}
        {!document && !creating.value && <Welcome canStart={canStart} />}
        {document?.kind === 'records' && <RecordsView key={document.key} document={document} />}
        {document?.kind === 'run' && (
          <Workspace key={document.key} onAgain={canStart ? (header) => (creating.value = header) : null} />
        )}
      </main>
      <Toasts />
    </div>
  );
}

function Welcome({ canStart }: { canStart: boolean }) {
  return (
    <section class="welcome">
      <h2>What could the model have said?</h2>
      <p>
        {canStart ? 'Start a run with “New run”, or drop' : 'Drop'} files anywhere: run files, tree JSON, or logprobs
        JSON Lines.
      </p>
      <Gallery />
    </section>
  );
}

interface AgainProps {
  /** Begins a new run with what this one was made of; null where no model can run it. */
  onAgain: ((header: Header) => void) | null;
}

function Workspace({ onAgain }: AgainProps) {
  const canGoOn = live.canGoOn();
  const actions = canGoOn
    ? { onContinue: live.goOnFrom, onExpandFrontier: live.expandFrontier, onExplore: live.exploreFrom }
    : {};
  const choose = (parent: number, token: number) => void live.choose(parent, token);
  return (
    <div class="workspace">
      <Strip onAgain={onAgain} />
      <section class="pane text-pane" aria-label="Text">
        <TextView onChoose={choose} live={canGoOn} />
      </section>
      <section class="pane inspector-pane" aria-label="Step">
        <InspectorView onChoose={choose} live={canGoOn} {...(canGoOn ? { vocabulary: live.vocabulary } : {})} />
      </section>
      <section class="pane view-pane" aria-label={NAMES[view.value]}>
        <div class="tabs" role="tablist" aria-label="Views">
          {VIEWS.map((v) => (
            <button
              type="button"
              key={v}
              role="tab"
              id={`tab-${v}`}
              aria-selected={view.value === v}
              tabIndex={view.value === v ? 0 : -1}
              onClick={() => {
                view.value = v;
              }}
              onKeyDown={(e) => {
                const step = { ArrowRight: 1, ArrowLeft: -1 }[e.key];
                if (!step) return;
                const next = VIEWS[(VIEWS.indexOf(v) + step + VIEWS.length) % VIEWS.length]!;
                view.value = next;
                globalThis.document.getElementById(`tab-${next}`)?.focus();
              }}
            >
              {NAMES[v]}
            </button>
          ))}
        </div>
        <div class="view" role="tabpanel" aria-labelledby={`tab-${view.value}`}>
          {view.value === 'outline' && <OutlineView />}
          {view.value === 'tree' && <TreeView {...actions} />}
          {view.value === 'ribbon' && <RibbonView />}
          {view.value === 'curves' && <CurvesView />}
          {view.value === 'paths' && <PathsView />}
        </div>
      </section>
    </div>
  );
}

/** The path as one line, and where the run's probability went. */
function Strip({ onAgain }: AgainProps) {
  revision.value;
  const run = runDocument.value?.run;
  if (!run) return null;
  const mass = run.accounting();
  const ended = path.value.length;
  const text = run.wholeText(leaf.value);
  return (
    <div class="strip">
      <p class="strip-path" title={text}>
        {text.replace(/\s+/g, ' ')}
      </p>
      <p class="strip-mass">
        finished {percent(mass.finished)} · frontier {percent(mass.frontier)} · pruned {percent(mass.pruned)} ·{' '}
        {count(run.size, 'node')} · path of {count(ended, 'token')}
        {run.moreCount > 0 && ` · ${count(run.moreCount, 'node')} with possibly more branches than were listed`}
      </p>
      <Sampled />
      <details class="about">
        <summary>About this run</summary>
        <dl>
          {about(run).map(([name, value]) => (
            <div key={name}>
              <dt>{name}</dt>
              <dd>{value}</dd>
            </div>
          ))}
        </dl>
        {onAgain && canBeAgain(run) && (
          <button type="button" class="small" onClick={() => onAgain(run.header)}>
            Run it again, or with changes
          </button>
        )}
      </details>
    </div>
  );
}

/** Says that the numbers are not the model's own. */
function Sampled() {
  const about = resampled.value?.summary();
  if (!about) return null;
  return (
    <p class="sampled" role="status">
      As sampled with {inWords(sampler.value)}
      {about.cut > 0 && ` · ${count(about.cut, 'token')} of the tree cut`}
      {about.rough && ' · ≈ where the list of a step is too short to be exact'}{' '}
      <button type="button" class="small" onClick={() => sample(PLAIN)}>
        Reset the sampler
      </button>
    </p>
  );
}

/** Whether the form can say what the run was made of: it has no control tokens by name, and only what the server has. */
function canBeAgain({ header: { prompt, strategy } }: Run): boolean {
  const { model = null, strategies = {} } = live.server.value ?? {};
  return prompt.special !== true && (!prompt.chat || model?.chat === true) && Object.hasOwn(strategies, strategy);
}

/** What was run, as the header says it. */
function about(run: Run): [string, string][] {
  const h = run.header;
  const text = (value: unknown) => (typeof value === 'string' ? value : (JSON.stringify(value) ?? ''));
  const fixed: [string, string][] = [
    ['model', [h.model.name, h.model.dtype].filter(Boolean).join(' · ')],
    ['engine', h.engine],
    ['strategy', h.strategy],
  ];
  const given = Object.entries({ ...h.parameters, ...run.limits }).map(([k, v]): [string, string] => [k, text(v)]);
  const variables = Object.entries(h.prompt.template_args ?? {});
  return [...fixed, ...given, ...variables.map(([k, v]): [string, string] => [`template: ${k}`, text(v)])];
}

const STATES = {
  queued: 'waits its turn',
  running: 'running',
  paused: 'paused',
  interrupted: 'interrupted',
  finished: 'finished',
  failed: 'failed',
  imported: 'a file',
} as const;

function RunStatus() {
  const id = runDocument.value?.live?.id;
  const s = live.status.value;
  if (!id || !s) return null;
  const going = s.state === 'running' || s.state === 'queued';
  const most = live.runs.value.find((r) => r.id === id)?.max_nodes;
  const eta =
    s.state === 'running' && most && s.rate > 0 ? ` · ${Math.ceil(Math.max(0, most - s.nodes) / s.rate)} s to go` : '';
  return (
    <div class="status">
      <span role="status">
        {STATES[s.state]}
        {s.state === 'running' && ` · ${s.rate.toFixed(0)} nodes/s · ${s.queue} open${eta}`}
        {s.message && ` · ${s.message}`}
      </span>
      {live.connection.value === 'lost' && (
        <span class="lost" role="alert">
          The server does not answer; what came is kept. Trying again…
        </span>
      )}
      {going && (
        <button type="button" onClick={() => live.act(id, 'pause')}>
          Pause
        </button>
      )}
      {live.canGoOn() && (
        <button type="button" onClick={() => live.act(id, 'stop')} title="Ends the run, and whatever goes on by hand">
          Stop
        </button>
      )}
      {(s.state === 'paused' || s.state === 'interrupted' || s.state === 'failed') && live.server.value?.model && (
        <button type="button" onClick={() => live.act(id, 'resume')}>
          Resume
        </button>
      )}
    </div>
  );
}
