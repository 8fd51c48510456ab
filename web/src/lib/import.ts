// A file's text as a document. What it is, is told by its content: names lie.

import type { Document } from '../state/store';
import { parseObject, RunLines } from './lines';
import { parseRecords } from './records';
import { FormatError } from './run';
import { importTree, isTree } from './tree-json';

const RUN_LINES = new Set<unknown>(['header', 'expand', 'node', 'stop', 'end']);

/** More than this is refused; V8 cannot hold much more in a string. */
export const MAX_SIZE = 500_000_000;

const WRONG_TYPE = 'neither a run file, nor a tree in JSON, nor logprobs in JSON Lines';

export function checkSize(size: number): void {
  if (size === 0) throw new FormatError('the file is empty');
  if (size > MAX_SIZE)
    throw new FormatError(`the file has ${Math.ceil(size / 1e6)} MB; the limit is ${MAX_SIZE / 1e6} MB`);
}

/** The document in a file. Throws a FormatError that says what is wrong with it. */
export function importText(name: string, text: string): Document {
  checkSize(text.length);
  // Some editors put a byte order mark before the text.
  const body = text.startsWith('\ufeff') ? text.slice(1) : text;
  const start = body.search(/\S/);
  if (start < 0) throw new FormatError('the file is empty');
  const key = `file:${name}`;

  const lineEnd = body.indexOf('\n', start);
  const first = body.slice(start, lineEnd < 0 ? undefined : lineEnd);
  const value = tryParse(first);
  const fields = typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as object) : null;

  if (fields && isRunLine(fields)) {
    return { kind: 'run', key, name, run: importRun(body) };
  }
  // A run file that was cut, or damaged, in its first line.
  if (!fields && /^\{\s*"type"\s*:\s*"header"/.test(first)) return { kind: 'run', key, name, run: importRun(body) };

  if (fields && isTree(fields) && (lineEnd < 0 || body.slice(lineEnd).trim() === '')) {
    return { kind: 'run', key, name, run: importTree(fields) };
  }
  if (!fields && body[start] === '{') {
    const whole = tryParse(body);
    if (whole !== undefined && isTree(whole)) return { kind: 'run', key, name, run: importTree(whole) };
    if (whole === undefined && looksLikeTree(first, body.slice(start, start + 1000))) {
      // Once more, for the reason.
      parseObject(body);
    }
  }

  const cards = parseRecords(body);
  const isRecords = fields !== null && ('prompt' in fields || 'data' in fields || 'response' in fields);
  if (!isRecords && !cards.some((c) => 'record' in c)) throw new FormatError(WRONG_TYPE);
  return { kind: 'records', key, name, cards };
}

/** Whether an object is a line of a run file, its first or another. */
function isRunLine(fields: { type?: unknown; format?: unknown }): boolean {
  return fields.format === 'logitree-run' || RUN_LINES.has(fields.type);
}

function importRun(text: string) {
  const lines = new RunLines();
  lines.feed(text);
  lines.finish();
  return lines.run!;
}

function tryParse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Whether text that is not valid JSON was meant to be a tree. */
const looksLikeTree = (first: string, start: string): boolean =>
  /^\{\s*"(metadata|tree)"\s*:/.test(start) && !/"data"\s*:/.test(first.slice(0, 1000));
