// A pattern in a worker, which can be ended while it tries.

import type { Tried } from '../lib/pattern';
import FileWorker from './matcher.worker?worker';
import InlineWorker from './matcher.worker?worker&inline';
import { framed } from './host';

export type Task = { pattern: string } | { texts: string[] };

/** A text may take this many ticks. While the page itself is kept busy, none are counted. */
const TICKS = 5;
const TICK = 200;

interface Listener {
  /** Called once for each text, in their order. */
  onTried: (tried: Tried) => void;
  /** The text that is next takes too long; the worker has been ended. */
  onStuck: () => void;
  onError: () => void;
}

export interface Matcher {
  try: (texts: string[]) => void;
  end: () => void;
}

/**
 * The ways to start the worker, best first. The server's policy allows its own files. A report, and a page in a frame, is one file, and its
 * policy allows what it made itself: from a blob, or from the text of an address where the page around it forbids blobs.
 */
function ways(): (() => Worker)[] {
  const inOne = document.getElementById('run') || framed;
  return inOne ? [() => new InlineWorker(), fromText] : [() => new FileWorker()];
}

/** What the inline worker does by itself where there are no blobs: only the policy of the page around it makes them fail later. */
function fromText(): Worker {
  const make = URL.createObjectURL;
  URL.createObjectURL = () => '';
  try {
    return new InlineWorker();
  } finally {
    URL.createObjectURL = make;
  }
}

export function startMatcher(pattern: string, { onTried, onStuck, onError }: Listener): Matcher {
  const left = ways();
  let worker: Worker;
  let waiting = 0;
  let ready = false;
  let ticks = 0;
  const post = (task: Task) => worker.postMessage(task);
  /** What was asked for before the worker was ready: another may have to be asked. */
  const early: Task[] = [{ pattern }];
  const timer = setInterval(() => {
    // A worker takes its time to start.
    if (ready && waiting > 0) ticks++;
    if (ticks < TICKS) return;
    end();
    onStuck();
  }, TICK);
  const end = () => {
    clearInterval(timer);
    worker.terminate();
  };
  const start = () => {
    worker = left.shift()!();
    worker.onmessage = ({ data }: MessageEvent<Tried | 'ready'>) => {
      ticks = 0;
      if (data === 'ready') ready = true;
      else {
        waiting--;
        onTried(data);
      }
    };
    worker.onerror = () => {
      if (!ready && left.length > 0) {
        start();
        return;
      }
      end();
      onError();
    };
    for (const task of early) post(task);
  };
  start();
  return {
    try: (texts) => {
      ticks = 0;
      waiting += texts.length;
      if (!ready) early.push({ texts });
      post({ texts });
    },
    end,
  };
}
