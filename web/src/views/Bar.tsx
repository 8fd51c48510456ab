// The bar at the top: where we are, how the run gets on, and what can be done.

import { useSignal } from '@preact/signals';
import { Fragment } from 'preact';
import { count, duration } from '../lib/numbers';
import { timeLeft } from '../lib/clock';
import { harmless } from '../lib/visible';
import { openFiles } from '../state/files';
import { help } from '../state/keys';
import * as live from '../state/live';
import { again } from '../state/draft';
import { compact, narrow, showRuns, THEMES, type Theme, theme } from '../state/prefs';
import { current, page, revision, runDocument } from '../state/store';
import { Menu } from './Menu';
import { againWords, isAboutOpen, RunActions } from './RunActions';

export function Bar() {
  const document = current.value;
  const canStart = live.server.value?.model != null;
  const onRun = page.value === 'run' && document !== null;
  return (
    <header class="bar">
      <button
        type="button"
        class="icon"
        aria-expanded={showRuns.value}
        aria-controls="runs"
        aria-label="Runs"
        title="Runs and files (b)"
        onClick={() => (showRuns.value = !showRuns.value)}
      >
        ☰
      </button>
      <a
        href="#page=start"
        class="logo"
        title="To the first page"
        onClick={(e) => {
          e.preventDefault();
          page.value = 'start';
        }}
      >
        logitree
      </a>
      {onRun && (
        <h1 class="run-name" title={harmless(document.name)} dir="auto">
          {harmless(document.name)}
        </h1>
      )}
      {onRun && <RunStatus />}
      <span class="space" />
      {onRun && <RunActions />}
      {canStart && (
        <button
          type="button"
          aria-label="New run"
          aria-pressed={page.value === 'start'}
          onClick={() => (page.value = 'start')}
        >
          {narrow.value ? '+' : 'New run'}
        </button>
      )}
      {canStart && !narrow.value && (
        <button type="button" aria-pressed={page.value === 'score'} onClick={() => (page.value = 'score')}>
          Score a text
        </button>
      )}
      <OpenFiles />
      {compact.value && <More onRun={onRun} canStart={canStart} />}
      <Look />
      <button type="button" class="icon" aria-label="Keys" title="All keys (?)" onClick={() => (help.value = true)}>
        ?
      </button>
    </header>
  );
}

/** What the bar has no room for. */
function More({ onRun, canStart }: { onRun: boolean; canStart: boolean }) {
  const run = onRun ? runDocument.value?.run : undefined;
  const grow = run && againWords(run);
  return (
    <Menu label="More" sign="⋮" class="icon">
      {(close) => {
        const item = (words: string, work: () => void) => (
          <button
            type="button"
            role="menuitem"
            onClick={() => {
              close();
              work();
            }}
          >
            {words}
          </button>
        );
        return (
          <>
            {run && item('About this run', () => (isAboutOpen.value = true))}
            {narrow.value && grow && item(grow, () => again(run.header))}
            {narrow.value && canStart && item('Score a text', () => (page.value = 'score'))}
            {narrow.value && item('Open files…', () => document.getElementById('open-files')?.click())}
            {item('All keys', () => (help.value = true))}
          </>
        );
      }}
    </Menu>
  );
}

function OpenFiles() {
  return (
    <label class="button" title="Run files, trees in JSON, logprobs in JSON Lines; or drop them anywhere">
      Open
      <input
        id="open-files"
        type="file"
        multiple
        class="hidden-input"
        aria-label="Open files"
        onChange={(e) => {
          const input = e.currentTarget;
          openFiles([...(input.files ?? [])]).then(() => {
            input.value = '';
          });
        }}
      />
    </label>
  );
}

const SIGNS: Record<Theme, string> = { system: '◐', light: '☀\ufe0e', dark: '☾\ufe0e' };

/** The colours of the page. */
function Look() {
  return (
    <Menu label="Colours of the page" sign={SIGNS[theme.value]} class="icon">
      {(close) =>
        THEMES.map((t) => (
          <Fragment key={t}>
            <button
              type="button"
              role="menuitemradio"
              aria-checked={theme.value === t}
              onClick={() => {
                theme.value = t;
                close();
              }}
            >
              {SIGNS[t]} {t === 'system' ? 'as the system' : t}
            </button>
          </Fragment>
        ))
      }
    </Menu>
  );
}

const STATES = {
  queued: 'waits its turn',
  running: 'running',
  paused: 'paused',
  interrupted: 'stopped',
  finished: 'finished',
  failed: 'failed',
  imported: 'a file',
} as const;

/** How the run gets on. */
function RunStatus() {
  revision.value;
  const document = runDocument.value;
  const id = document?.live?.id;
  const s = live.status.value;
  if (!document || !id || !s) return null;
  if (live.connection.value === 'gone')
    return (
      <span class="status lost" role="alert">
        This run was deleted; what came of it is kept on this page.
      </span>
    );
  if (live.connection.value === 'locked')
    return (
      <span class="status lost" role="alert">
        The server asks for its token again: open the link that it printed.
      </span>
    );
  const running = s.state === 'running';
  const going = running || s.state === 'queued';
  const writing = live.isWriting.value && !going;
  const left = running ? timeLeft(document.run, s) : null;
  return (
    <div class="status">
      <span role="status" class={going || writing ? 'busy' : ''}>
        {live.asked.value ?? (writing ? 'writing…' : STATES[s.state])}
        {running && s.rate > 0 && ` · ${s.rate.toFixed(0)} nodes/s · ${count(s.queue, 'path')} open`}
        {running && s.rate === 0 && ' · reading the prompt…'}
        {left !== null && ` · at most ${duration(left)}`}
      </span>
      {s.message && <Message text={s.message} />}
      {live.connection.value === 'lost' && (
        <span class="lost" role="alert">
          The server does not answer; what came is kept. Trying again…
        </span>
      )}
      {going && (
        <button type="button" class="small" onClick={() => live.act(id, 'pause')}>
          Pause
        </button>
      )}
      {(going || writing) && (
        <button
          type="button"
          class="small"
          onClick={() => live.act(id, 'stop')}
          title="Ends the run, and what it writes"
        >
          Stop
        </button>
      )}
      {(s.state === 'paused' || s.state === 'interrupted' || s.state === 'failed') && live.canGoOn() && (
        <button type="button" class="small" onClick={() => live.act(id, 'resume')}>
          Resume
        </button>
      )}
    </div>
  );
}

/** What the server says went wrong: a long sentence is folded. */
function Message({ text }: { text: string }) {
  const open = useSignal(false);
  return (
    <button
      type="button"
      class="message"
      aria-expanded={open.value}
      title={harmless(text)}
      onClick={() => (open.value = !open.value)}
    >
      {open.value ? harmless(text) : 'why?'}
    </button>
  );
}
