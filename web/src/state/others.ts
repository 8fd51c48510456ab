// Runs that are looked at beside the shown one.

import { RunLines } from '../lib/lines';
import * as api from './api';
import { documents, type RunDocument } from './store';

/** A run by its key: one that is open already, or one of the server's, as it is now. */
export async function loadRun(key: string): Promise<RunDocument> {
  const known = documents.value.find((d) => d.key === key);
  if (known?.kind === 'run') return known;
  const id = key.slice('server:'.length);
  const [info, text] = await Promise.all([api.info(id), api.content(id)]);
  const lines = new RunLines();
  lines.feed(text);
  lines.finish();
  if (!lines.run) throw new Error('the run has no header');
  return { kind: 'run', key: `other:${id}`, name: info.name, run: lines.run, live: { id } };
}
