// Tries a pattern on texts, away from the page: some patterns take longer than the age of the universe.

import { tryPattern } from '../lib/pattern';
import type { Task } from './matcher';

let pattern: RegExp;

onmessage = ({ data }: MessageEvent<Task>) => {
  if ('pattern' in data) {
    pattern = new RegExp(data.pattern, 'u');
    postMessage('ready');
  } else {
    // An answer for each text, so that the page knows which one takes too long.
    for (const text of data.texts) postMessage(tryPattern(pattern, text));
  }
};
