// A file's text as a document. What it is, is told by its content: names lie.

import type { Document } from '../state/store';
import { parseObject, RunLines } from './lines';
import { parseRecords } from './records';
import { FormatError } from './run';
import { importTree, isTree } from './tree-json';

const RUN_LINES = new Set<unknown>(['header', 'expand', 'node', 'stop', 'end']);

/** More than this is refused. */
export const MAX_SIZE = 500_000_000;
/** The same for what is not read line by line. */
export const MAX_WHOLE = 100_000_000;
/** What a file is, is known from so many characters at most. */
const HEAD = 1_000_000;

const WRONG_TYPE = 'neither a run file, nor a tree in JSON, nor logprobs in JSON Lines';

/** A file of another program, which the server reads and the page does not. */
export class ForeignError extends FormatError {
  constructor() {
    super(
      'a server’s answer with logprobs, or a save of logitloom: “logitree view FILE” opens it, and so does a page of “logitree serve”',
    );
  }
}

const megabytes = (size: number): string => `${Math.ceil(size / 1e6)} MB`;

/** Takes a file's text as it comes: that of a run file line by line, any other as a whole. */
export class Importer {
  private parts: string[] = [];
  private length = 0;
  private lines: RunLines | null = null;
  private isKnown = false;

  constructor(
    private readonly name: string,
    private readonly size: number,
  ) {
    if (size === 0) throw new FormatError('the file is empty');
    if (size > MAX_SIZE) throw new FormatError(`the file has ${megabytes(size)}; the limit is ${megabytes(MAX_SIZE)}`);
  }

  /** Takes text cut anywhere. Throws a FormatError as soon as something is wrong with it. */
  feed(text: string): void {
    if (this.lines) {
      this.lines.feed(text);
      return;
    }
    this.parts.push(text);
    this.length += text.length;
    if (!this.isKnown) this.look(this.length > HEAD);
  }

  /** The document, when all of its text has come. */
  finish(): Document {
    if (!this.isKnown) this.look(true);
    const key = `file:${this.name}`;
    if (!this.lines) return wholeDocument(key, this.name, this.parts.join(''));
    const cut = this.lines.finish();
    const notes = cut ? ['the file ends in the middle of an event; everything before it is shown'] : [];
    return { kind: 'run', key, name: this.name, run: this.lines.run!, notes };
  }

  /** Whether it is a run file; `now`: no more is waited for. */
  private look(now: boolean): void {
    const body = withoutMark(this.parts.join(''));
    const first = firstLine(body);
    if (first === null && !now) return;
    this.isKnown = true;
    if (isRunFile(first ?? body.trimStart())) {
      this.lines = new RunLines();
      this.lines.feed(body);
      this.parts = [];
    } else if (this.size > MAX_WHOLE) {
      const [limit, most] = [megabytes(MAX_WHOLE), megabytes(MAX_SIZE)];
      throw new FormatError(
        `the file has ${megabytes(this.size)}; the limit is ${limit} for trees and records, ${most} for run files`,
      );
    }
  }
}

/** The document in a file. Throws a FormatError that says what is wrong with it. */
export function importText(name: string, text: string): Document {
  const importer = new Importer(name, text.length);
  importer.feed(text);
  return importer.finish();
}

/** Some editors put a byte order mark before the text. */
const withoutMark = (text: string): string => (text.startsWith('\ufeff') ? text.slice(1) : text);

/** The first line that is not empty, if its end is there. */
function firstLine(body: string): string | null {
  const start = body.search(/\S/);
  const end = start < 0 ? -1 : body.indexOf('\n', start);
  return end < 0 ? null : body.slice(start, end);
}

function isRunFile(first: string): boolean {
  const value = tryParse(first);
  // A run file may be cut, or damaged, in its first line.
  return isFields(value) ? isRunLine(value) : /^\{\s*"type"\s*:\s*"header"/.test(first);
}

const isFields = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** A tree or records. */
function wholeDocument(key: string, name: string, text: string): Document {
  const body = withoutMark(text);
  const start = body.search(/\S/);
  if (start < 0) throw new FormatError('the file is empty');
  const first = firstLine(body) ?? body.slice(start);
  const value = tryParse(first);
  const fields = isFields(value) ? value : null;
  if (fields && isForeign(fields)) throw new ForeignError();

  if (fields && isTree(fields) && body.slice(start + first.length).trim() === '') {
    return { kind: 'run', key, name, ...importTree(fields) };
  }
  if (!fields && body[start] === '{') {
    const whole = tryParse(body);
    if (isFields(whole) && isForeign(whole)) throw new ForeignError();
    if (whole !== undefined && isTree(whole)) return { kind: 'run', key, name, ...importTree(whole) };
    if (whole === undefined && looksLikeTree(first, body.slice(start, start + 1000))) {
      // Once more, for the reason.
      parseObject(body);
    }
  }

  const records = parseRecords(body);
  const isRecords = fields !== null && ('prompt' in fields || 'data' in fields || 'response' in fields);
  if (!isRecords && !records.cards.some((c) => 'record' in c)) throw new FormatError(WRONG_TYPE);
  return { kind: 'records', key, name, ...records };
}

/** Whether an object is the answer of OpenAI, vLLM or llama-server, or a save of logitloom. */
function isForeign(fields: { choices?: unknown; completion_probabilities?: unknown; roots?: unknown }): boolean {
  return [fields.choices, fields.completion_probabilities, fields.roots].some(Array.isArray);
}

/** Whether an object is a line of a run file, its first or another. */
function isRunLine(fields: { type?: unknown; format?: unknown }): boolean {
  return fields.format === 'logitree-run' || RUN_LINES.has(fields.type);
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
