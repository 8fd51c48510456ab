// A server with one run that grows at a steady pace, which no model could: it stands in for the API.

import { createReadStream } from 'node:fs';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join, resolve } from 'node:path';
import { HEADER } from '../tests/empty-run';

const APP = resolve(import.meta.dirname, '../../crates/logitree-server/app');
const KINDS: Record<string, string> = { html: 'text/html', js: 'text/javascript', css: 'text/css' };
const TICK = 20;

export interface StandIn {
  address: string;
  close: () => void;
}

/** Whoever follows the run sees it grow from nothing by so many nodes a second, up to `most`. */
export async function standIn(rate: number, most: number): Promise<StandIn> {
  const status = { state: 'running', nodes: 0, completed: 0, queue: 1, threshold: 0.1, rate, message: null, length: 0 };
  const run = {
    id: 'growing',
    name: 'growing',
    kind: 'run',
    prompt: 'p',
    model: 'm',
    strategy: 'dynamic',
    created: '',
    max_nodes: null,
    status,
  };
  const answers: Record<string, unknown> = {
    '/api/v1/server': { version: '', model: null, strategies: {} },
    '/api/v1/runs': [run],
    '/api/v1/runs/growing': run,
  };
  const server = createServer((request, response) => {
    const path = new URL(request.url ?? '/', 'http://localhost').pathname;
    const answer = answers[path];
    if (answer) {
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify(answer));
    } else if (path === '/api/v1/runs/growing/events') grow(response, rate, most);
    else {
      const file = path === '/' ? 'index.html' : path.slice(1);
      response.setHeader('content-type', KINDS[file.split('.').at(-1) ?? ''] ?? 'text/plain');
      createReadStream(join(APP, file))
        .on('error', () => response.writeHead(404).end())
        .pipe(response);
    }
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  return {
    address: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

function grow(response: ServerResponse, rate: number, most: number): void {
  response.setHeader('content-type', 'text/event-stream');
  let sent = 0;
  const send = (lines: string[]) => {
    sent += lines.length;
    response.write(`event: lines\nid: ${sent}\n${lines.map((l) => `data: ${l}\n`).join('')}\n`);
  };
  send([JSON.stringify(HEADER)]);
  let seed = 7;
  const random = () => {
    seed = (seed * 1103515245 + 12345) % 2147483648;
    return seed / 2147483648;
  };
  const open = [0];
  let nodes = 1;
  const expand = (): string[] => {
    const parent = open.splice(Math.floor(random() * open.length), 1)[0]!;
    const children = random() < 0.6 ? 1 : 3;
    const token = (i: number) => ({ id: i, text: ` w${i}`, logprob: Math.log(0.9 / children) - Math.max(0, i - 2) });
    const top = Array.from({ length: 10 }, (_, i) => token(i));
    const event = { type: 'expand', node: parent, threshold: 0.1, queue: open.length, entropy: 1, varentropy: 1, top };
    const lines = [JSON.stringify({ ...event, children })];
    for (let i = 0; i < children; i++) {
      open.push(nodes);
      lines.push(JSON.stringify({ type: 'node', node: nodes++, parent, ...token(i) }));
    }
    return lines;
  };
  const start = performance.now();
  const timer = setInterval(() => {
    const wanted = Math.min(most, ((performance.now() - start) * rate) / 1000);
    const lines: string[] = [];
    while (nodes < wanted) lines.push(...expand());
    if (lines.length > 0) send(lines);
    if (nodes >= most) clearInterval(timer);
  }, TICK);
  response.on('close', () => clearInterval(timer));
}
