// Work of the server that takes long and comes as a stream of events: followed while it is wanted.

import * as api from './api';
import * as transport from './transport';

/** What is done with the events of a stream, by their kind; `end` and `failed` are the last ones. */
export interface Hears {
  [kind: string]: (data: never) => void;
  failed: (why: string) => void;
}

/** Begins some work and follows it to its end. What is returned ends it early: then nothing more is heard. */
export function follow(path: string, hears: Hears): () => void {
  const source = transport.follow(api.streamOf(path));
  let over = false;
  const end = () => {
    over = true;
    source.close();
  };
  for (const kind of Object.keys(hears)) {
    source.addEventListener(kind, (e) => {
      if (over) return;
      const data = JSON.parse((e as MessageEvent<string>).data) as never;
      if (kind === 'end' || kind === 'failed') end();
      if (kind === 'failed') hears.failed((data as { detail: string }).detail);
      else hears[kind]!(data);
    });
  }
  source.addEventListener('error', () => {
    if (over) return;
    // The browser would begin the work anew, and does not say why it was refused.
    end();
    api.refusal(path).then(hears.failed, () => {});
  });
  return end;
}
