// The program that shows the page in a frame, if there is one: it carries the page's requests and says which theme it has.
//
// The frame's element sends one message with a port; everything else goes over the port:
//   page → host: { id, method, path, type, body } asks for something, { id, cancel: true } no longer wants the answer.
//   host → page: { id, status, headers } begins the answer, { id, chunk } is a piece of its body, { id, end: true } its end,
//                { id, error } says why there is no answer, { theme } is the host's theme.

import { signal } from '@preact/signals';
import type { Scheme } from '../lib/colours';

interface Answer {
  id: number;
  status?: number;
  headers?: [string, string][];
  chunk?: ArrayBuffer;
  end?: true;
  error?: string;
}

type Said = Answer | { theme: Scheme };

/** The theme of the host; null without one, or if it has not said. */
export const hostTheme = signal<Scheme | null>(null);

interface Waiting {
  begin: (answer: Response) => void;
  fail: (why: Error) => void;
  body: ReadableStreamDefaultController<Uint8Array> | null;
}

/** Statuses whose answers have no body. */
const EMPTY = [204, 205, 304];

export class Host {
  private readonly port: Promise<MessagePort>;
  private readonly waiting = new Map<number, Waiting>();
  private asked = 0;

  /** Waits for the port that the window around the page sends. */
  constructor(from: Window) {
    this.port = new Promise((found) => {
      const hear = (e: MessageEvent) => {
        const port = e.ports[0];
        if (e.source !== from || !port) return;
        removeEventListener('message', hear);
        port.onmessage = ({ data }: MessageEvent<Said>) => this.hear(data);
        found(port);
      };
      addEventListener('message', hear);
    });
  }

  private hear(said: Said): void {
    if ('theme' in said) {
      hostTheme.value = said.theme;
      return;
    }
    const one = this.waiting.get(said.id);
    if (!one) return;
    if (said.status !== undefined) {
      const body = EMPTY.includes(said.status)
        ? null
        : new ReadableStream<Uint8Array>({
            start: (controller) => {
              one.body = controller;
            },
            cancel: () => this.cancel(said.id),
          });
      one.begin(new Response(body, { status: said.status, headers: said.headers ?? [] }));
    }
    if (said.chunk) one.body?.enqueue(new Uint8Array(said.chunk));
    if (said.error !== undefined) {
      this.waiting.delete(said.id);
      one.fail(new Error(said.error));
      one.body?.error(new Error(said.error));
    }
    if (said.end) {
      this.waiting.delete(said.id);
      one.body?.close();
    }
  }

  private cancel(id: number): void {
    if (!this.waiting.delete(id)) return;
    this.port.then((port) => port.postMessage({ id, cancel: true })).catch(() => {});
  }

  /** Sends a request, as `fetch` does. */
  async send(path: string, init: RequestInit = {}): Promise<Response> {
    // Reads a body of any kind, and its type, as the browser would.
    const request = new Request('http://host/', {
      method: init.method ?? 'GET',
      headers: init.headers ?? {},
      body: init.body ?? null,
    });
    const body = init.body == null ? undefined : await request.arrayBuffer();
    const type = request.headers.get('content-type') ?? undefined;
    const port = await this.port;
    const id = ++this.asked;
    return new Promise((begin, fail) => {
      const one: Waiting = { begin, fail, body: null };
      this.waiting.set(id, one);
      init.signal?.addEventListener('abort', () => {
        this.cancel(id);
        const why = new DOMException('no longer wanted', 'AbortError');
        fail(why);
        one.body?.error(why);
      });
      port.postMessage({ id, method: request.method, path, type, body });
    });
  }
}

/** The host, if the page was made for one. */
export const framed: Host | null =
  globalThis.document?.documentElement.dataset.framed !== undefined ? new Host(globalThis.parent) : null;

/** The run that the host wants shown. */
export const hostRun: string | undefined = globalThis.document?.documentElement.dataset.framed || undefined;
