// Small files of others, good and bad, that the program reads too (crates/logitree/src/import/mod.rs).

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { importText } from '../src/lib/import';
import { pathRows } from '../src/lib/paths';
import { FormatError, State } from '../src/lib/run';

type Expected =
  | { records: number; bad: number[]; notes: number | null }
  | { nodes: number; notes: number; first: number; completed: number }
  | { refused: true };

/** Bad lines that are told one by one. */
const TOLD = 20;
const folder = join(import.meta.dirname, '../../fixtures/imports');
const expected = JSON.parse(readFileSync(join(folder, 'expected.json'), 'utf8')) as Record<string, Expected>;

test.each(Object.entries(expected))('%s is read or refused as it says beside it', (name, wanted) => {
  const read = () => importText(name, readFileSync(join(folder, name), 'utf8'));
  if ('refused' in wanted) {
    expect(read).toThrow(FormatError);
    return;
  }
  const document = read();
  if (document.kind === 'run') {
    const { run, notes = [] } = document;
    const first = run.probOf(1);
    const completed = pathRows(run).filter((r) => r.state === State.EndToken).length;
    expect({ nodes: run.size, notes: notes.length, first, completed }).toEqual({
      ...wanted,
      first: expect.closeTo('first' in wanted ? wanted.first : Number.NaN, 12),
    });
    return;
  }
  if (!('records' in wanted)) throw new Error('taken for records');
  const { cards, bad, notes } = document;
  const told = cards.flatMap((c) => ('error' in c ? [c.line] : []));
  expect(told).toEqual(wanted.bad.slice(0, TOLD));
  expect(bad).toBe(wanted.bad.length);
  expect(cards.length - told.length).toBe(wanted.records);
  // A byte order mark is told by the program alone: a browser's decoder takes it away.
  if (wanted.notes !== null) expect(notes).toHaveLength(wanted.notes);
});
