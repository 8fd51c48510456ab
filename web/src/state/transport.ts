// How the page reaches its server: by HTTP, or by messages with the program that shows the page in a frame and has the server in itself,
// such as a notebook. The rest of the page does not know which.

import { createParser } from 'eventsource-parser';
import { framed } from './host';

/** What is used of an `EventSource`. */
export interface Events {
  addEventListener: (type: string, listener: (e: Event) => void) => void;
  close: () => void;
}

/** Sends a request to the server that the page comes from. Fails as `fetch` does if there is no answer. */
export const send = (path: string, init?: RequestInit): Promise<Response> =>
  framed ? framed.send(path, init) : fetch(path, init);

/** Follows a stream of server-sent events. */
export const follow = (path: string): Events => (framed ? new FramedEvents(path) : new EventSource(path));

/** Whether the page has a server: a report has none, nor has a page that was opened as a file. */
export const hasServer = (): boolean => framed !== null || location.protocol.startsWith('http');

/** An `EventSource` over messages: it tells the same events, and an `error` when the stream ends. */
class FramedEvents extends EventTarget implements Events {
  private readonly ended = new AbortController();

  constructor(path: string) {
    super();
    this.read(path).catch(() => {
      if (!this.ended.signal.aborted) this.dispatchEvent(new Event('error'));
    });
  }

  private async read(path: string): Promise<void> {
    const answer = await send(path, { signal: this.ended.signal });
    if (!answer.ok || !answer.body) throw new Error(`the server answers ${answer.status}`);
    this.dispatchEvent(new Event('open'));
    const parser = createParser({
      onEvent: ({ event, data, id }) =>
        this.dispatchEvent(new MessageEvent(event ?? 'message', { data, lastEventId: id ?? '' })),
    });
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) throw new Error('the stream has ended');
      if (this.ended.signal.aborted) return;
      parser.feed(value);
    }
  }

  close(): void {
    this.ended.abort();
  }
}
