// Runs on the server: their list, their events as they come, and what the user asks of them.

import { batch, signal } from '@preact/signals';
import { RunLines } from '../lib/lines';
import { parseRecords } from '../lib/records';
import { NONE } from '../lib/run';
import * as api from './api';
import { changed, documents, open, reroute, runDocument } from './store';
import { say } from './toasts';

/** What the server is; `null` without one (a report, or a page opened as a file). */
export const server = signal<api.ServerInfo | null>(null);
export const runs = signal<api.Info[]>([]);
/** How the shown run gets on. */
export const status = signal<api.Status | null>(null);
/** Whether events come. */
export const connection = signal<'none' | 'open' | 'lost'>('none');

/** Milliseconds before another try. */
const RETRY = 1500;

interface Stream {
  id: string;
  lines: RunLines;
  /** The byte of the file from which to go on. */
  at: number;
  source: EventSource | null;
  timer: ReturnType<typeof setTimeout> | null;
}

let stream: Stream | null = null;
/** A child to go to as soon as its line has come. */
let awaited: number | null = null;

export async function connect(): Promise<void> {
  server.value = await api.server();
  await refresh();
  setInterval(() => {
    if (!document.hidden) refresh().catch(() => {});
  }, 3000);
}

export async function refresh(): Promise<void> {
  runs.value = await api.list();
}

/** Shows a run of the server and follows it. */
export async function show(id: string): Promise<void> {
  const info = await api.info(id);
  if (info.kind === 'records') {
    leave();
    open({ kind: 'records', key: `server:${id}`, name: info.name, ...parseRecords(await api.content(id)) });
    return;
  }
  if (stream?.id === id) {
    const known = documents.value.find((d) => d.key === `server:${id}`);
    if (known) open(known);
    return;
  }
  leave();
  status.value = info.status;
  stream = { id, lines: new RunLines(), at: 0, source: null, timer: null };
  listen(stream, info.name);
}

/** Stops following. What came stays. */
export function leave(): void {
  if (stream?.timer) clearTimeout(stream.timer);
  stream?.source?.close();
  stream = null;
  status.value = null;
  connection.value = 'none';
}

function listen(s: Stream, name: string): void {
  const source = new EventSource(api.eventsOf(s.id, s.at));
  s.source = source;
  source.addEventListener('open', () => {
    connection.value = 'open';
  });
  source.addEventListener('lines', (e) => {
    if (stream !== s) return;
    const isNew = s.lines.run === null;
    try {
      s.lines.feed(`${(e as MessageEvent<string>).data}\n`);
    } catch (error) {
      source.close();
      say(`This run cannot be read: ${(error as Error).message}`, 'bad');
      return;
    }
    s.at = Number((e as MessageEvent).lastEventId);
    const run = s.lines.run;
    if (!run) return;
    if (isNew) open({ kind: 'run', key: `server:${s.id}`, name, run, live: { id: s.id } });
    else changed(run);
    if (awaited !== null && awaited < run.size) {
      const to = awaited;
      awaited = null;
      reroute(to);
    }
  });
  source.addEventListener('status', (e) => {
    if (stream !== s) return;
    const before = status.value?.state;
    status.value = JSON.parse((e as MessageEvent<string>).data) as api.Status;
    if (status.value.state !== before) refresh().catch(() => {});
  });
  source.addEventListener('error', () => {
    if (stream !== s) return;
    connection.value = 'lost';
    source.close();
    // Our own tries, from where we stand: the browser gives up for good when the server was away.
    s.timer = setTimeout(() => stream === s && listen(s, name), RETRY);
  });
}

const shownId = (): string | null => runDocument.value?.live?.id ?? null;

/** Does something that may fail; says so if it does. */
export async function attempt<T>(work: () => Promise<T>): Promise<T | null> {
  try {
    return await work();
  } catch (e) {
    say((e as Error).message, 'bad');
    return null;
  }
}

/** Takes another token after `parent`: one that is in the tree, or a new one from which the model goes on. */
export async function choose(parent: number, token: number): Promise<void> {
  const document = runDocument.value;
  if (!document) return;
  const child = document.run.childWith(parent, token);
  if (child !== NONE) {
    reroute(child);
    return;
  }
  const id = shownId();
  if (!id || !server.value?.model) {
    say('This token is not in the file, and there is no model to go on with.', 'bad');
    return;
  }
  await goOn(id, { nodes: [parent], token, steps: 30 });
}

async function goOn(id: string, what: Parameters<typeof api.expand>[1]): Promise<void> {
  const made = await attempt(() => api.expand(id, what));
  const first = made?.nodes[0];
  if (first === undefined || what.nodes.length > 1) return;
  const run = runDocument.value?.run;
  // Events and the answer come in any order.
  if (run && first < run.size) reroute(first);
  else awaited = first;
}

export const canGoOn = (): boolean =>
  shownId() !== null && server.value?.model != null && status.value?.state !== 'imported';

export function goOnFrom(node: number): void {
  const id = shownId();
  const run = runDocument.value?.run;
  if (id && run) goOn(id, { nodes: [run.descend(node)], steps: 30 });
}

export function exploreFrom(node: number): void {
  const id = shownId();
  const run = runDocument.value?.run;
  if (id && run) goOn(id, { nodes: [run.descend(node)], max_nodes: 100 });
}

export function expandFrontier(nodes: number[]): void {
  const id = shownId();
  if (id && nodes.length > 0) goOn(id, { nodes: nodes.slice(0, 64), steps: 1 });
}

export async function act(id: string, action: 'pause' | 'resume' | 'stop' | 'duplicate'): Promise<void> {
  const after = await attempt(() => api.act(id, action));
  if (after && action === 'duplicate') await show(after.id);
  await refresh().catch(() => {});
}

export async function startRun(run: api.NewRun): Promise<boolean> {
  const info = await attempt(() => api.start(run));
  if (!info) return false;
  await show(info.id);
  await refresh().catch(() => {});
  return true;
}

/** Tokens after a node of the shown run; `whole`: of the whole vocabulary, not only of what the engine lists. */
export async function vocabulary(
  node: number,
  query: string,
  offset: number,
): Promise<{ tokens: api.RankedToken[]; whole: boolean }> {
  const id = shownId();
  if (!id) return { tokens: [], whole: true };
  const { tokens, exactness } = await api.distribution(id, node, query, offset);
  return { tokens, whole: exactness === 'exact' };
}

export function forget(id: string): void {
  batch(() => {
    if (stream?.id === id) leave();
    documents.value = documents.value.filter((d) => d.key !== `server:${id}`);
  });
}
