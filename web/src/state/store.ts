// What all views show: the open documents, the path through the current run, the selected node.

import { batch, computed, effect, signal } from '@preact/signals';
import type { Metric } from '../lib/metrics';
import type { Records } from '../lib/records';
import { Resampled } from '../lib/resampled';
import { NONE, ROOT, type Run } from '../lib/run';
import { isPlain, PLAIN, type Sampler } from '../lib/sampler';

/** A run on the server. */
export interface Live {
  /** Its id in the API. */
  id: string;
}

export interface RunDocument {
  kind: 'run';
  key: string;
  name: string;
  run: Run;
  /** What was read otherwise than it stands, in sentences. */
  notes?: string[];
  /** Absent for a dropped file or a report. */
  live?: Live;
}

export interface RecordsDocument extends Records {
  kind: 'records';
  key: string;
  name: string;
}

export type Document = RunDocument | RecordsDocument;

export const VIEWS = [
  'outline',
  'tree',
  'ribbon',
  'curves',
  'paths',
  'answers',
  'compare',
  'layers',
  'decision',
] as const;
export type View = (typeof VIEWS)[number];

export const documents = signal<Document[]>([]);
export const currentKey = signal<string | null>(null);
export const current = computed(() => documents.value.find((d) => d.key === currentKey.value) ?? null);
/** The current run's document, if a run is shown. */
export const runDocument = computed(() => (current.value?.kind === 'run' ? current.value : null));
/** Grows, at most once a frame, when the current run has changed: whatever reads a run reads this first. */
export const revision = signal(0);

/** The node up to which the path was chosen; below it the most likely child follows. */
export const anchor = signal(ROOT);
export const selected = signal(ROOT);
export const hovered = signal(NONE);
/** Where the path ends. */
export const leaf = computed(() => {
  revision.value;
  const run = runDocument.value?.run;
  return run ? run.descend(Math.min(anchor.value, run.size - 1)) : ROOT;
});
/** The nodes of the path, below the root. */
export const path = computed(() => {
  const run = runDocument.value?.run;
  return run ? run.path(leaf.value) : [];
});

export const view = signal<View>('outline');
export const metric = signal<Metric>('surprisal');
/** Whether whitespace and special tokens are made visible. */
export const marks = signal(false);
/** By which all shown probabilities are re-weighted: see `sample`. */
export const sampler = signal<Sampler>(PLAIN);
export const resampled = signal<Resampled | null>(null);
/** Shown subtrees have at least this mass, and tokens this probability. */
export const minMass = signal(0);
export const minProb = signal(0);
/** What is searched for in the run. */
export const query = signal('');
/** Whether the step after the selected token is looked at, rather than the one that chose it. */
export const lookAfter = signal(false);
/** Whether the user writes by hand, a token at a time. */
export const byHand = signal(false);
/** What the page shows: a run (or the records of a file), the form of a new run, or the form that scores a text. */
export const PAGES = ['run', 'start', 'score'] as const;
export type Page = (typeof PAGES)[number];
export const page = signal<Page>('run');
/** Whether the view has the whole window. */
export const maximised = signal(false);

interface Place {
  anchor: number;
  selected: number;
}
interface Steps {
  past: Place[];
  future: Place[];
  here: Place;
}
const START: Place = { anchor: ROOT, selected: ROOT };
/** Where the user has been in the documents that are not shown now. */
const elsewhere = new Map<string, Steps>();
const past = signal<Place[]>([]);
const future = signal<Place[]>([]);
export const canUndo = computed(() => past.value.length > 0);
export const canRedo = computed(() => future.value.length > 0);

const here = (): Place => ({ anchor: anchor.value, selected: selected.value });

function go(place: Place): void {
  batch(() => {
    anchor.value = place.anchor;
    selected.value = place.selected;
  });
}

/** Selects a node; a node off the path becomes part of it. */
export function select(n: number): void {
  const run = runDocument.value?.run;
  if (!run || n < 0 || n >= run.size) return;
  if (run.isAncestor(n, leaf.value)) {
    selected.value = n;
    return;
  }
  reroute(n);
}

/** Makes the path go through a node. */
export function reroute(n: number): void {
  batch(() => {
    past.value = [...past.value.slice(-199), here()];
    future.value = [];
    go({ anchor: n, selected: n });
  });
}

export function undo(): void {
  const last = past.value.at(-1);
  if (!last) return;
  batch(() => {
    future.value = [...future.value, here()];
    past.value = past.value.slice(0, -1);
    go(last);
  });
}

export function redo(): void {
  const next = future.value.at(-1);
  if (!next) return;
  batch(() => {
    past.value = [...past.value, here()];
    future.value = future.value.slice(0, -1);
    go(next);
  });
}

/** Goes to a place as it was, without a step of its own: the browser's Back and Forward. */
export function restore(anchorNode: number, selectedNode: number): void {
  const size = runDocument.value?.run.size ?? 0;
  const inRun = (n: number) => (n >= 0 && n < size ? n : ROOT);
  go({ anchor: inRun(anchorNode), selected: inRun(selectedNode) });
}

/** Back to the most likely token at every step. */
export const mostLikely = (): void => reroute(ROOT);

/** Opens a document, or takes the place of one with the same key. */
export function open(document: Document, show = true): void {
  batch(() => {
    const others = documents.value.filter((d) => d.key !== document.key);
    documents.value = [...others, document];
    if (show || currentKey.value === document.key) showDocument(document.key);
  });
}

export function showDocument(key: string | null): void {
  batch(() => {
    if (currentKey.value !== key) {
      if (currentKey.value !== null)
        elsewhere.set(currentKey.value, { past: past.value, future: future.value, here: here() });
      const steps = key === null ? undefined : elsewhere.get(key);
      past.value = steps?.past ?? [];
      future.value = steps?.future ?? [];
      go(steps?.here ?? START);
      hovered.value = NONE;
    }
    currentKey.value = key;
    resample();
  });
}

/** Shows all probabilities as a sampler re-weights them. */
export function sample(s: Sampler): void {
  batch(() => {
    sampler.value = isPlain(s) ? PLAIN : s;
    resample();
  });
}

function resample(): void {
  const run = runDocument.peek()?.run;
  const s = sampler.peek();
  resampled.value = run && !isPlain(s) ? new Resampled(run, s) : null;
  run?.reweigh(resampled.value);
  revision.value++;
}

export function close(key: string): void {
  elsewhere.delete(key);
  batch(() => {
    documents.value = documents.value.filter((d) => d.key !== key);
    if (currentKey.value === key) showDocument(documents.value.at(-1)?.key ?? null);
  });
}

let frame = 0;
/** Says that a run has changed; views follow in the next frame. */
export function changed(run: Run): void {
  if (runDocument.value?.run !== run || frame !== 0) return;
  // A hidden page gets no frames, but must not fall behind.
  const later = globalThis.document?.hidden ? (f: () => void) => setTimeout(f, 250) : requestAnimationFrame;
  frame = 1;
  later(() => {
    frame = 0;
    revision.value++;
  });
}

/** The selected node is one of the run's. */
effect(() => {
  const run = runDocument.value?.run;
  if (run && selected.value >= run.size) selected.value = ROOT;
});

/** Why the page can show nothing at all. */
export const failure = signal<string | null>(null);
