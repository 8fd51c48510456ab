// A pattern in a worker, which can be ended while it tries.

import type { Tried } from '../lib/pattern';
import FileWorker from './matcher.worker?worker';
import InlineWorker from './matcher.worker?worker&inline';

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

export function startMatcher(pattern: string, { onTried, onStuck, onError }: Listener): Matcher {
  // The server's policy allows its own files, a report is one file and its policy allows what it made itself.
  const worker = document.getElementById('run') ? new InlineWorker() : new FileWorker();
  const post = (task: Task) => worker.postMessage(task);
  let waiting = 0;
  let ready = false;
  let ticks = 0;
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
  worker.onmessage = ({ data }: MessageEvent<Tried | 'ready'>) => {
    ticks = 0;
    if (data === 'ready') ready = true;
    else {
      waiting--;
      onTried(data);
    }
  };
  worker.onerror = () => {
    end();
    onError();
  };
  post({ pattern });
  return {
    try: (texts) => {
      ticks = 0;
      waiting += texts.length;
      post({ texts });
    },
    end,
  };
}
