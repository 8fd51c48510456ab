import { render } from 'preact';
import { RunLines } from './lib/lines';
import { goTo, readAddress, writeAddress } from './state/address';
import { connect, runs, show } from './state/live';
import { open } from './state/store';
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
    await connect();
    const id = address.run ?? runs.value[0]?.id;
    if (id) await show(id);
  }
  goTo(address);
  writeAddress();
}

const root = document.getElementById('app');
if (root) render(<App />, root);
begin().catch((e: Error) => say(e.message, 'bad'));
