// Files that were dropped or chosen, or that the address names.

import { effect, signal } from '@preact/signals';
import { ForeignError, Importer } from '../lib/import';
import { FormatError } from '../lib/run';
import * as api from './api';
import * as live from './live';
import { close, currentKey, type Document, documents, open, page } from './store';
import { say } from './toasts';

/** The page stands still for no longer than this, in milliseconds, while a file is read. */
const BUSY = 30;
/** What takes less is not announced, in milliseconds. */
const SHORT = 300;
/** Larger files are only shown: the server is not asked to keep them. */
const KEPT = 64_000_000;

let opened = 0;

/** The run of the server that took the place of the last file: a file on this page alone has no address, and Back comes to one without a run. */
let keptLast: string | null = null;
export const lastKept = (): string | null => keptLast;

/** What is being read, and how much of it has been, from 0 to 1. */
export const reading = signal<{ name: string; part: number } | null>(null);

/** Opens files one after the other: a bad one is told and does not disturb the rest. */
export async function openFiles(files: Iterable<File>): Promise<void> {
  for (const file of files) {
    try {
      const start = performance.now();
      const progress = (part: number) => {
        if (performance.now() - start > SHORT) reading.value = { name: file.name, part };
      };
      const document = { ...(await readFile(file, progress)) };
      // Two files may have one name.
      if (documents.value.some((d) => d.key === document.key)) document.key += `:${++opened}`;
      page.value = 'run';
      live.leave();
      open(document);
      for (const note of document.notes ?? []) say(`${file.name}: ${note}`);
      await keep(file, document);
    } catch (e) {
      try {
        if (!(e instanceof ForeignError && live.server.value)) throw e;
        await give(file);
      } catch (last) {
        say(`${file.name}: ${(last as Error).message}`, 'bad');
      }
    }
  }
  reading.value = null;
}

/** Gives a file of another program to the server, which makes a run of it. */
async function give(file: File): Promise<void> {
  const { id, notes } = await api.take(file.name, file);
  await live.refresh();
  await live.show(id);
  for (const note of notes) say(`${file.name}: ${note}`);
}

/**
 * Gives a file to the server, if there is one: so it has an address, is there after a reload, can be exported, and goes on live where its
 * model is the one that is loaded.
 */
async function keep(file: File, document: Document): Promise<void> {
  if (!live.server.value) return;
  if (file.size > KEPT) {
    say(
      `${file.name} is too large to be kept: it is shown until this page is closed. Give it to the server at its start: logitree serve FILE`,
    );
    return;
  }
  try {
    const { id } = await api.take(file.name, file);
    keptLast = id;
    await live.refresh();
    const isShown = currentKey.value === document.key;
    // The user may have gone elsewhere meanwhile.
    const isLookedAt = isShown && page.value === 'run';
    if (isLookedAt) await live.show(id);
    else if (isShown) return;
    // It makes room as soon as the same is there from the server.
    const stop = effect(() => {
      if (isLookedAt && !documents.value.some((d) => d.key === `server:${id}`)) return;
      queueMicrotask(() => {
        stop();
        close(document.key);
      });
    });
  } catch (e) {
    say(`${file.name} is shown, but the server does not keep it: ${(e as Error).message}`, 'bad');
  }
}

/** Opens what `?file=` names, if it is a file of the server that the page comes from. */
export async function openNamed(search: string): Promise<void> {
  for (const name of new URLSearchParams(search).getAll('file')) {
    try {
      const blob = await fetchOwn(name);
      await openFiles([new File([blob], name)]);
    } catch (e) {
      say(`${name}: ${(e as Error).message}`, 'bad');
    }
  }
}

async function fetchOwn(name: string): Promise<Blob> {
  const url = URL.canParse(name, location.href) ? new URL(name, location.href) : null;
  // A `blob:` address has the origin of who made it.
  if (url?.origin !== location.origin || url.protocol !== location.protocol)
    throw new Error(`only files of ${location.origin} are opened by their address; download it and drop it here`);
  let response: Response;
  try {
    // Nor may it be forwarded to another server.
    response = await fetch(url, { mode: 'same-origin' });
  } catch {
    throw new Error('the file cannot be fetched');
  }
  if (!response.ok) throw new Error(`the server answers ${response.status} ${response.statusText}`.trim());
  return response.blob();
}

/** Reads a file; `progress` hears how much of it, from 0 to 1. Throws a FormatError if it is none that we know. */
export async function readFile(file: File, progress: (fraction: number) => void): Promise<Document> {
  const importer = new Importer(file.name, file.size);
  progress(0);
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let read = 0;
  let drawn = performance.now();
  const reader = file.stream().getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      importer.feed(decode(decoder, value));
      read += value.byteLength;
      progress(Math.min(1, read / file.size));
      if (performance.now() - drawn > BUSY) {
        await pause();
        drawn = performance.now();
      }
    }
    importer.feed(decode(decoder));
  } catch (e) {
    await reader.cancel().catch(() => {});
    throw e instanceof FormatError ? e : new FormatError(`the file cannot be read: ${(e as Error).message}`);
  }
  progress(1);
  // Let the full bar be drawn before the parser keeps the page busy.
  await pause();
  return importer.finish();
}

/** Lets the page draw and answer. */
const pause = () => new Promise((done) => setTimeout(done));

function decode(decoder: TextDecoder, bytes?: Uint8Array): string {
  try {
    return decoder.decode(bytes, { stream: bytes !== undefined });
  } catch {
    throw new FormatError('not text in UTF-8');
  }
}
