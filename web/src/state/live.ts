// Runs on the server: their list, their events as they come, and what the user asks of them.

import { batch, computed, signal } from '@preact/signals';
import { RunLines } from '../lib/lines';
import { percent } from '../lib/numbers';
import { parseRecords } from '../lib/records';
import { NONE } from '../lib/run';
import { visible } from '../lib/visible';
import * as api from './api';
import { changed, documents, open, page, reroute, runDocument } from './store';
import { say } from './toasts';
import { type Events, follow } from './transport';

/** What the server is; `null` without one (a report, or a page opened as a file). */
export const server = signal<api.ServerInfo | null>(null);
export const runs = signal<api.Info[]>([]);
/** How the shown run gets on. */
export const status = signal<api.Status | null>(null);
/** Whether events come; `gone`: the run was deleted, `locked`: the server asks for its token again. */
export const connection = signal<'none' | 'open' | 'lost' | 'gone' | 'locked'>('none');
/** A run that the address names and that the server does not have. */
export const missing = signal<string | null>(null);
/** What the server was asked for and has not said a word about yet. */
export const asked = signal<string | null>(null);
/** Whether something was asked for by hand, and the server has not said yet how it goes on. */
const posted = signal(false);
/** Whether the model writes what was asked for by hand. */
export const isWriting = computed(() => posted.value || (status.value?.writing ?? 0) > 0);

/** Milliseconds before another try. */
const RETRY = 1500;
/** Milliseconds between two looks at the list of runs: while something goes on, and otherwise. */
const OFTEN = 3000;
const SELDOM = 15_000;
/** Steps that the model goes on by itself. */
const STEPS = 30;
/** Nodes that it explores at most. */
const NODES = 100;

interface Stream {
  id: string;
  name: string;
  lines: RunLines;
  /** The byte of the file from which to go on. */
  at: number;
  source: Events | null;
  timer: ReturnType<typeof setTimeout> | null;
}

let stream: Stream | null = null;
/** A child to go to as soon as its line has come. */
let awaited: number | null = null;

export async function connect(): Promise<void> {
  server.value = await api.server();
  await refresh();
  let looked = performance.now();
  setInterval(() => {
    const busy = runs.value.some((r) => r.status.state === 'running' || r.status.state === 'queued');
    if (document.hidden || performance.now() - looked < (busy ? OFTEN : SELDOM)) return;
    looked = performance.now();
    refresh().catch(() => {});
  }, 1000);
}

export async function refresh(): Promise<void> {
  runs.value = await api.list();
}

/** Shows a run of the server and follows it. */
export async function show(id: string): Promise<void> {
  const from = page.value;
  let info: api.Info;
  try {
    info = await api.info(id);
  } catch (e) {
    if (!(e instanceof api.ApiError && e.status === 404)) throw e;
    leave();
    missing.value = id;
    return;
  }
  // The user may have gone to another page meanwhile, and stays there.
  if (page.value !== from) return;
  missing.value = null;
  page.value = 'run';
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
  stream = { id, name: info.name, lines: new RunLines(), at: 0, source: null, timer: null };
  listen(stream);
}

/** Stops following. What came stays. */
export function leave(): void {
  if (stream?.timer) clearTimeout(stream.timer);
  stream?.source?.close();
  stream = null;
  batch(() => {
    status.value = null;
    asked.value = null;
    posted.value = false;
    connection.value = 'none';
    missing.value = null;
  });
}

function listen(s: Stream): void {
  const source = follow(api.eventsOf(s.id, s.at));
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
    if (isNew) open({ kind: 'run', key: `server:${s.id}`, name: s.name, run, live: { id: s.id } });
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
    asked.value = null;
    posted.value = false;
    if (status.value.state !== before) refresh().catch(() => {});
  });
  source.addEventListener('error', () => {
    if (stream !== s) return;
    source.close();
    lost(s).catch(() => {});
  });
}

/** The stream has ended: because of the run, of the cookie, or of the server. */
async function lost(s: Stream): Promise<void> {
  const why = await api.info(s.id).then(
    () => 0,
    (e: unknown) => (e instanceof api.ApiError ? e.status : 0),
  );
  if (stream !== s) return;
  if (why === 404 || why === 401 || why === 403) {
    connection.value = why === 404 ? 'gone' : 'locked';
    posted.value = false;
    if (why === 404) refresh().catch(() => {});
    return;
  }
  connection.value = 'lost';
  // Our own tries, from where we stand: the browser gives up for good when the server was away.
  s.timer = setTimeout(() => stream === s && listen(s), RETRY);
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
export async function choose(parent: number, token: number, steps = STEPS): Promise<void> {
  const document = runDocument.value;
  if (!document) return;
  const child = document.run.childWith(parent, token);
  if (child !== NONE) {
    reroute(child);
    return;
  }
  const id = shownId();
  if (!id || !canGoOn()) {
    say('This token is not in the file, and no model is there to go on from it.', 'bad');
    return;
  }
  await goOn(id, { nodes: [parent], token, steps });
}

async function goOn(id: string, what: Parameters<typeof api.expand>[1]): Promise<void> {
  posted.value = true;
  const made = await attempt(() => api.expand(id, what));
  if (!made) posted.value = false;
  const first = made?.nodes[0];
  const run = runDocument.value?.run;
  if (first === undefined || !run || what.nodes.length > 1) return;
  // Events and the answer come in any order.
  if (first < run.size) reroute(first);
  else awaited = first;
}

/** Whether a run was made by the model that is loaded. */
const isOwn = (header: { model: { sha256: string } }): boolean => server.value?.model?.sha256 === header.model.sha256;

export const canGoOn = (): boolean => {
  const document = runDocument.value;
  const there = connection.value !== 'gone' && connection.value !== 'locked';
  return document?.live !== undefined && there && isOwn(document.run.header) && status.value?.state !== 'imported';
};

/** The model goes on below a node, with the most likely token at each step: so far, or so much further if it has been there already. */
export function goOnFrom(node: number): void {
  const id = shownId();
  const run = runDocument.value?.run;
  if (!id || !run) return;
  const there = run.depth.get(run.descend(node)) - run.depth.get(node);
  goOn(id, { nodes: [node], steps: there < STEPS ? STEPS : there + STEPS });
}

/** The run's strategy branches below a node. */
export function exploreFrom(node: number): void {
  const id = shownId();
  if (id) goOn(id, { nodes: [node], max_nodes: NODES });
}

export function expandFrontier(nodes: number[]): void {
  const id = shownId();
  if (id && nodes.length > 0) goOn(id, { nodes: nodes.slice(0, 64), steps: 1 });
}

/** The tokens that a text is, in the model's own way; null if it cannot be had without changing it. */
export async function tokensOf(text: string): Promise<{ id: number; text: string }[] | null> {
  const all = await api.tokenize({ prompt: text });
  const own = all.filter((t) => !t.special);
  return own.map((t) => t.text).join('') === text ? own : null;
}

/** Puts a text after a node, token by token, whatever the model thinks of it, and lets the model go on from there. */
export async function write(parent: number, tokens: { id: number; text: string }[]): Promise<void> {
  const id = shownId();
  const run = runDocument.value?.run;
  if (!id || !run || tokens.length === 0) return;
  let at = parent;
  for (const [i, { id: token }] of tokens.entries()) {
    const isLast = i === tokens.length - 1;
    const known = at < run.size ? run.childWith(at, token) : NONE;
    if (known !== NONE) {
      at = known;
      if (isLast) reroute(at);
      continue;
    }
    const made = await attempt(() => api.expand(id, { nodes: [at], token, steps: isLast ? STEPS : 0 }));
    const next = made?.nodes[0];
    if (next === undefined) return;
    at = next;
    if (!isLast) continue;
    if (at < run.size) reroute(at);
    else awaited = at;
  }
  const text = tokens.map((t) => t.text).join('');
  // Its last line may still be on its way.
  for (let tries = 0; at >= run.size && tries < 100; tries++) await new Promise((done) => setTimeout(done, 50));
  if (at >= run.size) return;
  const logprob = run.chainLogprob(parent, at);
  say(`“${visible(text)}” has a probability of ${percent(Math.exp(logprob))} here.`);
}

export async function act(id: string, action: 'pause' | 'resume' | 'stop' | 'duplicate'): Promise<void> {
  asked.value = { pause: 'pausing…', resume: 'reading the open paths again…', stop: 'stopping…', duplicate: null }[
    action
  ];
  const after = await attempt(() => api.act(id, action));
  if (!after) asked.value = null;
  if (after && action === 'duplicate') await show(after.id);
  await refresh().catch(() => {});
}

/** Starts a run; throws what the server finds wrong with it. */
export async function startRun(run: api.NewRun): Promise<void> {
  const info = await api.start(run);
  await show(info.id);
  await refresh().catch(() => {});
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
