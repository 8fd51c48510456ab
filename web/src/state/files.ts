// Files that were dropped or chosen.

import { checkSize, importText } from '../lib/import';
import { FormatError } from '../lib/run';
import type { Document } from './store';

/** Reads a file; `progress` hears how much of it, from 0 to 1. Throws a FormatError if it is none that we know. */
export async function readFile(file: File, progress: (fraction: number) => void): Promise<Document> {
  checkSize(file.size);
  progress(0);
  const decoder = new TextDecoder('utf-8', { fatal: true });
  const parts: string[] = [];
  let read = 0;
  const reader = file.stream().getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      parts.push(decode(decoder, value));
      read += value.byteLength;
      progress(Math.min(1, read / file.size));
    }
    parts.push(decode(decoder));
  } catch (e) {
    await reader.cancel().catch(() => {});
    throw e instanceof FormatError ? e : new FormatError(`the file cannot be read: ${(e as Error).message}`);
  }
  progress(1);
  // Let the full bar be drawn before the parser keeps the page busy.
  await new Promise((done) => setTimeout(done));
  return importText(file.name, parts.join(''));
}

function decode(decoder: TextDecoder, bytes?: Uint8Array): string {
  try {
    return decoder.decode(bytes, { stream: bytes !== undefined });
  } catch {
    throw new FormatError('not text in UTF-8');
  }
}
