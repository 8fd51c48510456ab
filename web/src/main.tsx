import { render } from 'preact';
import { RunLines } from './lib/lines';
import { goTo, readAddress, writeAddress } from './state/address';
import { ApiError } from './state/api';
import { openNamed } from './state/files';
import { connect, leave, runs, server, show } from './state/live';
import { current, open, showDocument } from './state/store';
import { say } from './state/toasts';
import { App } from './views/App';
import './theme.css';
import './app.css';

async function begin(): Promise<void> {
  const address = readAddress();
  const report = document.getElementById('run');
  if (report) {
    // A report has its run in the page.
    const lines = new RunLines();
    lines.feed(report.textContent?.trimStart() ?? '');
    lines.finish();
    if (lines.run) open({ kind: 'run', key: 'report', name: lines.run.header.prompt.text, run: lines.run });
  } else if (location.protocol.startsWith('http')) {
    await connect().catch((e: Error) => {
      // The page's files alone, on a server without the API.
      if (!(e instanceof ApiError && e.status === 404)) throw e;
    });
    await openNamed(location.search);
    const id = address.run ?? (current.value ? undefined : runs.value[0]?.id);
    if (id) await show(id);
  }
  goTo(address);
  writeAddress();
  addEventListener('hashchange', () => {
    follow().catch((e: Error) => say(e.message, 'bad'));
  });
}

/** A link to another place, or the way back from it. */
async function follow(): Promise<void> {
  const address = readAddress();
  if (address.run) await show(address.run);
  else if (server.value) {
    leave();
    showDocument(null);
  }
  goTo(address);
}

const root = document.getElementById('app');
if (root) render(<App />, root);
begin().catch((e: Error) => say(e.message, 'bad'));
