// The published samples: not in the repository, so only where they are at hand.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { importText } from '../src/lib/import';
import { NONE } from '../src/lib/run';

const SEED = process.env.LOGITREE_SEED_DIR ?? '';
const seeded = SEED !== '' && existsSync(SEED);
const why = seeded ? '' : ' (skipped: LOGITREE_SEED_DIR is not set to the folder of samples)';
describe.skipIf(!seeded)(`the published samples${why}`, () => {
  const folder = join(SEED, 'trees');
  const trees = seeded ? readdirSync(folder).filter((f) => f.endsWith('.json')) : [];

  test(`there are four trees${why}`, () => expect(trees).toHaveLength(4));

  test.each(trees)('%s', (file) => {
    const text = readFileSync(join(folder, file), 'utf8');
    const document = importText(file, text);
    if (document.kind !== 'run') throw new Error(`a ${document.kind}`);
    const { run } = document;
    type Raw = { children: Raw[]; is_finished: boolean };
    const stack: Raw[] = [(JSON.parse(text) as { tree: Raw }).tree];
    let [nodes, finished] = [0, 0];
    for (let n = stack.pop(); n; n = stack.pop()) {
      nodes++;
      if (n.is_finished) finished++;
      stack.push(...n.children);
    }
    expect(run.size).toBe(nodes);
    expect(finished).toBe(5);
    expect(run.end?.completed).toBeGreaterThanOrEqual(finished);
    for (let n = 1; n < run.size; n++) {
      expect(run.parent.get(n)).toBeLessThan(n);
      expect(run.childWith(run.parent.get(n), run.token.get(n))).not.toBe(NONE);
    }
  });

  test('logprobs.jsonl', () => {
    const text = readFileSync(join(SEED, 'logprobs.jsonl'), 'utf8');
    const document = importText('logprobs.jsonl', text);
    if (document.kind !== 'records') throw new Error(`a ${document.kind}`);
    const { cards } = document;
    expect(cards).toHaveLength(text.trimEnd().split('\n').length);
    expect(cards.every((c) => 'record' in c)).toBe(true);
  });
});
