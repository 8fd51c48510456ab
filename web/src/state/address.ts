// What is worth sharing stands in the address: #run=…&node=…&view=… Going to another run, view or node is a step that the browser's
// Back undoes.

import { batch, effect, signal } from '@preact/signals';
import { METRICS, type Metric } from '../lib/metrics';
import { ROOT } from '../lib/run';
import { PLAIN, type Sampler } from '../lib/sampler';
import {
  anchor,
  metric,
  minMass,
  minProb,
  PAGES,
  type Page,
  page,
  query,
  restore,
  runDocument,
  sample,
  sampler,
  selected,
  VIEWS,
  type View,
  view,
} from './store';

export interface Address {
  run?: string;
  path?: number;
  node?: number;
}

/** Reads the address; what concerns a run is returned, for when the run is there. */
export function readAddress(): Address {
  // The address is written anew with every change: it must not be while it is read.
  return batch(read);
}

function read(): Address {
  const q = new URLSearchParams(location.hash.slice(1));
  const v = q.get('view');
  if (VIEWS.includes(v as View)) view.value = v as View;
  const m = q.get('colour');
  metric.value = METRICS.includes(m as Metric) ? (m as Metric) : 'surprisal';
  const p = q.get('page');
  page.value = PAGES.includes(p as Page) ? (p as Page) : 'run';
  const between = (name: string) => {
    const x = Number(q.get(name) ?? 0);
    return x > 0 && x <= 1 ? x : 0;
  };
  minProb.value = between('least');
  minMass.value = between('mass');
  query.value = q.get('search') ?? '';
  const s = readSampler(q);
  if (JSON.stringify(s) !== JSON.stringify(sampler.peek())) sample(s);
  const number = (name: string) => {
    const n = Number(q.get(name) ?? Number.NaN);
    return Number.isInteger(n) && n >= 0 ? n : undefined;
  };
  const address: Address = {};
  const run = q.get('run');
  if (run) address.run = run;
  expected.value = run;
  const [path, node] = [number('path'), number('node')];
  if (path !== undefined) address.path = path;
  if (node !== undefined) address.node = node;
  return address;
}

const SAMPLER: [key: keyof Sampler, name: string, least: number, most: number][] = [
  ['temperature', 'temperature', 0.1, 2],
  ['topK', 'top_k', 0, 50],
  ['topP', 'top_p', 0.05, 1],
  ['minP', 'min_p', 0, 1],
];

function readSampler(q: URLSearchParams): Sampler {
  const out = { ...PLAIN };
  for (const [key, name, least, most] of SAMPLER) {
    const x = Number(q.get(name) ?? Number.NaN);
    if (x >= least && x <= most) out[key] = key === 'topK' ? Math.round(x) : x;
  }
  return out;
}

/** The address of a run in a view. */
export const hashOf = (run: string, view: View): string => `#${new URLSearchParams({ run, view })}`;

/** Goes to a place in a run as soon as the run has it. */
export function goTo(address: Address): void {
  const furthest = Math.max(address.path ?? 0, address.node ?? 0);
  const stop = effect(() => {
    const run = runDocument.value?.run;
    if (!run || run.size <= furthest) return;
    queueMicrotask(() => {
      stop();
      restore(address.path ?? ROOT, address.node ?? ROOT);
    });
  });
}

/** Steps of one node to the next that come faster than this, in milliseconds, are one step: a key that is held down. */
const TOGETHER = 800;

function addressOf(): string {
  const q = new URLSearchParams();
  const live = runDocument.value?.live;
  // What is not of a run has no place in one.
  if (page.value !== 'run') return `#${new URLSearchParams({ page: page.value })}`;
  if (live) q.set('run', live.id);
  if (anchor.value !== ROOT) q.set('path', String(anchor.value));
  if (selected.value !== ROOT) q.set('node', String(selected.value));
  q.set('view', view.value);
  if (metric.value !== 'surprisal') q.set('colour', metric.value);
  if (minProb.value > 0) q.set('least', String(minProb.value));
  if (minMass.value > 0) q.set('mass', String(minMass.value));
  if (query.value !== '') q.set('search', query.value);
  for (const [key, name] of SAMPLER) if (sampler.value[key] !== PLAIN[key]) q.set(name, String(sampler.value[key]));
  return `#${q}`;
}

/** What of an address is a place of its own. */
const placeOf = (hash: string): Record<string, string | null> => {
  const q = new URLSearchParams(hash.slice(1));
  return { page: q.get('page'), run: q.get('run'), view: q.get('view'), path: q.get('path'), node: q.get('node') };
};

/** The run that the address asks for and that is not there yet: until then the address stays as it is. */
export const expected = signal<string | null>(null);

/** Whether the page has no address of its own: it is the text of a frame, and what is relative is so to the page around it. */
export const inText = globalThis.location?.protocol === 'about:';

/** Writes the address; as a step that Back undoes, or in the place of the one before. */
export function put(hash: string, step: boolean): void {
  if (!inText) {
    if (step) history.pushState(null, '', hash);
    else history.replaceState(null, '', hash);
    return;
  }
  try {
    // Steps would be steps of the page around it.
    history.replaceState(null, '', `${location.href.split('#')[0]}${hash}`);
  } catch {
    // Not every browser lets such a page have an address: then it does without.
  }
}

/** Keeps the address as the page is. */
export function writeAddress(): void {
  let pushed = 0;
  let first = true;
  let document = runDocument.peek()?.key;
  effect(() => {
    const hash = addressOf();
    if (expected.value !== null && page.value === 'run') {
      if (runDocument.value?.live?.id !== expected.value) return;
      first = true;
    }
    expected.value = null;
    const key = runDocument.value?.key;
    const [before, now] = [placeOf(location.hash), placeOf(hash)];
    const moved = (Object.keys(now) as (keyof typeof now)[]).filter((k) => before[k] !== now[k]);
    // A run that has just been opened stands in the address that asked for it; only leaving one is a step.
    const opened = key !== document && before.run === now.run;
    document = key;
    const quick = performance.now() - pushed < TOGETHER && moved.every((k) => k === 'path' || k === 'node');
    if (first || opened || moved.length === 0 || quick) put(hash, false);
    else {
      put(hash, true);
      pushed = performance.now();
    }
    first = false;
  });
}
