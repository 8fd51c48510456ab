// What is worth sharing stands in the address: #run=…&node=…&view=…

import { effect } from '@preact/signals';
import { METRICS, type Metric } from '../lib/metrics';
import { ROOT } from '../lib/run';
import { PLAIN, type Sampler } from '../lib/sampler';
import {
  anchor,
  metric,
  reroute,
  runDocument,
  sample,
  sampler,
  select,
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
  const q = new URLSearchParams(location.hash.slice(1));
  const v = q.get('view');
  if (VIEWS.includes(v as View)) view.value = v as View;
  const m = q.get('colour');
  if (METRICS.includes(m as Metric)) metric.value = m as Metric;
  sample(readSampler(q));
  const number = (name: string) => {
    const n = Number(q.get(name) ?? Number.NaN);
    return Number.isInteger(n) && n >= 0 ? n : undefined;
  };
  const address: Address = {};
  const run = q.get('run');
  if (run) address.run = run;
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
  if (furthest === 0) return;
  const stop = effect(() => {
    const run = runDocument.value?.run;
    if (!run || run.size <= furthest) return;
    queueMicrotask(() => {
      stop();
      if (address.path) reroute(address.path);
      if (address.node) select(address.node);
    });
  });
}

/** Keeps the address as the page is. */
export function writeAddress(): void {
  effect(() => {
    const q = new URLSearchParams();
    const live = runDocument.value?.live;
    if (live) q.set('run', live.id);
    if (anchor.value !== ROOT) q.set('path', String(anchor.value));
    if (selected.value !== ROOT) q.set('node', String(selected.value));
    q.set('view', view.value);
    if (metric.value !== 'surprisal') q.set('colour', metric.value);
    for (const [key, name] of SAMPLER) if (sampler.value[key] !== PLAIN[key]) q.set(name, String(sampler.value[key]));
    history.replaceState(null, '', `#${q}`);
  });
}
