// What the model goes on with because the user asked for it, as far as the page can know: until it has what was asked for.

import { computed, effect, signal } from '@preact/signals';
import { type Run, State } from '../lib/run';
import { revision, runDocument } from './store';

interface Wish {
  run: string;
  /** The first node that was asked for. */
  from: number;
  /** The depth that its most likely path shall reach, or the size of the run that is enough. */
  depth: number;
  size: number;
}

const wishes = signal<Wish[]>([]);
/** When something last came. */
let heard = 0;

/** Without news for so long, in milliseconds, nothing more comes. */
const SILENT = 4000;

/** Whether the model writes below some node of the shown run. */
export const isWriting = computed(() => {
  const id = runDocument.value?.live?.id;
  return wishes.value.some((w) => w.run === id);
});

export function began(run: string, from: number, what: { depth?: number; size?: number }): void {
  heard = performance.now();
  const wish = {
    run,
    from,
    depth: what.depth ?? Number.POSITIVE_INFINITY,
    size: what.size ?? Number.POSITIVE_INFINITY,
  };
  wishes.value = [...wishes.peek().filter((w) => w.run === run && w.from !== from), wish];
}

/** The user has had enough, or looks at another run. */
export function gaveUp(): void {
  if (wishes.peek().length > 0) wishes.value = [];
}

function isDone(run: Run, w: Wish): boolean {
  if (w.from >= run.size) return false;
  if (run.size >= w.size) return true;
  const leaf = run.descend(w.from);
  return (
    run.depth.get(leaf) >= w.depth ||
    ![State.Open, State.MaxDepth, State.Expanded].includes(run.state.get(leaf) as never)
  );
}

function check(now: number): void {
  const document = runDocument.peek();
  const mine = wishes.peek().filter((w) => w.run === document?.live?.id);
  const rest = document && now - heard < SILENT ? mine.filter((w) => !isDone(document.run, w)) : [];
  if (rest.length < wishes.peek().length) wishes.value = rest;
}

/** Watches the wishes. */
export function watchWishes(): void {
  let size = 0;
  effect(() => {
    revision.value;
    const now = runDocument.value?.run.size ?? 0;
    if (now !== size) heard = performance.now();
    size = now;
    if (wishes.value.length > 0) queueMicrotask(() => check(performance.now()));
  });
  setInterval(() => {
    if (wishes.peek().length > 0) check(performance.now());
  }, 500);
}
