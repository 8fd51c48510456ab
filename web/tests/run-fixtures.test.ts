// Small run files, good and bad, that the program's reader reads too (crates/logitree-core/tests/run_fixtures.rs).

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { importText } from '../src/lib/import';
import { FormatError, State } from '../src/lib/run';

type Expected = { nodes: number; by_user: number[]; completed: number; orders?: number[] } | { line: number | null };

const folder = join(import.meta.dirname, '../../fixtures/runs');
const expected = JSON.parse(readFileSync(join(folder, 'expected.json'), 'utf8')) as Record<string, Expected>;

describe('run files are read or refused as it says beside them', () => {
  test.each(Object.entries(expected))('%s', (name, wanted) => {
    const text = readFileSync(join(folder, `${name}.run.jsonl`), 'utf8');
    const read = () => {
      const document = importText(name, text);
      if (document.kind !== 'run') throw new Error(`a ${document.kind}`);
      return document.run;
    };
    if ('line' in wanted) {
      expect(read).toThrow(FormatError);
      expect(read).toThrow(wanted.line === null ? 'line ' : `line ${wanted.line}: `);
      return;
    }
    const run = read();
    const orders = run.header.model.summation_orders;
    const nodes = Array.from({ length: run.size }, (_, n) => n);
    expect({
      nodes: run.size,
      by_user: nodes.filter((n) => run.byUser.get(n) === 1),
      completed: nodes.filter((n) => run.state.get(n) === State.EndToken).length,
      ...(orders && { orders }),
    }).toEqual(wanted);
  });
});
