import { render } from 'preact';
import { RunLines } from './lib/lines';
import { expected, goTo, inText, put, readAddress, writeAddress } from './state/address';
import { ApiError } from './state/api';
import { lastKept, openNamed } from './state/files';
import { hostRun } from './state/host';
import { connect, leave, runs, server, show } from './state/live';
import { followTheme } from './state/prefs';
import { current, failure, open, page, showDocument } from './state/store';
import { say } from './state/toasts';
import { hasServer } from './state/transport';
import { App } from './views/App';
import './theme.css';
import './app.css';

async function begin(): Promise<void> {
  // A report opens where it was made, unless its address names another place.
  const place = document.querySelector<HTMLMetaElement>('meta[name="place"]')?.content;
  if (place && location.hash === '') put(`#${place}`, false);
  const address = readAddress();
  if (hostRun !== undefined) address.run ??= hostRun;
  const report = document.getElementById('run');
  if (report) {
    readReport(report.textContent ?? '');
  } else if (hasServer()) {
    await connect().catch((e: Error) => {
      // The page's files alone, on a server without the API.
      if (!(e instanceof ApiError && e.status === 404)) throw e;
    });
    await openNamed(location.search);
    if (address.run) await show(address.run);
    else if (!current.value && page.value === 'run') {
      // Who looks at files wants to see them; who has a model, to begin something.
      const newest = runs.value[0];
      if (newest && !server.value?.model) await show(newest.id);
      else page.value = 'start';
    }
  }
  goTo(address);
  writeAddress();
  const go = () => {
    follow().catch((e: Error) => say(e.message, 'bad'));
  };
  addEventListener('popstate', go);
  if (inText) followLinks(go);
}

/** Follows links to places of the page, which in the text of a frame would lead to the page around it. */
function followLinks(go: () => void): void {
  addEventListener('click', (e) => {
    const hash = (e.target as Element | null)?.closest('a')?.getAttribute('href');
    if (!hash?.startsWith('#')) return;
    e.preventDefault();
    put(hash, false);
    go();
  });
}

/** A report has its run in the page. */
function readReport(text: string): void {
  const lines = new RunLines();
  try {
    lines.feed(text.trimStart());
    lines.finish();
  } catch (e) {
    failure.value = `The run in this report cannot be read: ${(e as Error).message}.`;
  }
  if (lines.run) open({ kind: 'run', key: 'report', name: lines.run.header.prompt.text, run: lines.run });
}

/** A link to another place, or the way back from it. */
async function follow(): Promise<void> {
  const address = readAddress();
  if (page.value !== 'run') return;
  const kept = lastKept();
  if (address.run) await show(address.run);
  else if (server.value && current.value?.key.startsWith('server:') && kept !== null) {
    expected.value = kept;
    await show(kept);
  } else if (server.value && current.value?.key.startsWith('server:')) {
    leave();
    showDocument(null);
    page.value = 'start';
  }
  goTo(address);
}

followTheme();
const root = document.getElementById('app');
if (root) render(<App />, root);
begin().catch((e: Error) => {
  failure.value = `${e.message[0]?.toUpperCase()}${e.message.slice(1)}`;
});
