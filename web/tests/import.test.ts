import { describe, expect, test } from 'vitest';
import { Importer, importText, MAX_SIZE, MAX_WHOLE } from '../src/lib/import';
import { RunLines } from '../src/lib/lines';
import { FormatError, ROOT, type Run, State } from '../src/lib/run';
import { readFile } from '../src/state/files';

const HEADER = {
  type: 'header',
  format: 'logitree-run',
  version: 1,
  logitree: '0.1.0',
  created: '2026-01-02T03:04:05Z',
  model: {
    name: 'm',
    sha256: 'a5',
    architecture: 'gemma3',
    dtype: 'F32',
    tokenizer: 'BPE',
    vocab: 300,
    context: 32,
    end_tokens: [1],
  },
  engine: 'exact',
  prompt: { text: 'Hi ü', tokens: [{ id: 2, text: '<bos>' }], bos: true, chat: false },
  strategy: 'dynamic',
  parameters: { max_depth: 2 },
};
const top = (id: number, text: string, logprob: number) => ({ id, text, logprob });
const EVENTS: object[] = [
  {
    type: 'expand',
    node: 0,
    queue: 1,
    entropy: 2,
    varentropy: 3,
    top: [top(5, ' a', -0.5), top(6, ' b', -1.5)],
    children: 2,
  },
  { type: 'node', node: 1, parent: 0, id: 5, text: ' a', logprob: -0.5 },
  { type: 'node', node: 2, parent: 0, id: 6, text: ' b', logprob: -1.5 },
  { type: 'expand', node: 1, queue: 2, entropy: 1, varentropy: 1, top: [top(1, '<eos>', -0.1)], children: 1 },
  { type: 'node', node: 3, parent: 1, id: 1, text: '<eos>', logprob: -0.1 },
  { type: 'stop', node: 3, reason: 'end_token' },
  {
    type: 'end',
    reason: 'interrupted',
    mass: { finished: 0.5, frontier: 0.2, pruned: 0.3 },
    nodes: 4,
    completed: 1,
    seconds: 1,
  },
];
const lines = (...events: object[]) => `${events.map((e) => JSON.stringify(e)).join('\n')}\n`;
const RUN = lines(HEADER, ...EVENTS);

function runOf(text: string, name = 'x'): Run {
  const document = importText(name, text);
  if (document.kind !== 'run') throw new Error(`a ${document.kind}`);
  return document.run;
}
function cardsOf(text: string) {
  const document = importText('x', text);
  if (document.kind !== 'records') throw new Error(`a ${document.kind}`);
  return document.cards;
}
function refusal(text: string): string {
  try {
    importText('x', text);
  } catch (e) {
    expect(e).toBeInstanceOf(FormatError);
    return (e as Error).message;
  }
  throw new Error('not refused');
}

const node = (id: number, text: string, prob: unknown, more: object = {}) => ({
  text,
  prob,
  token_id: id,
  is_finished: false,
  candidates: [],
  children: [],
  ...more,
});
const treeFile = (children: object[], candidates: object[] = [], parameters: object = { max_depth: 2 }) => ({
  metadata: { prompt: 'Hi', parameters },
  tree: { text: 'Hi', prob: 1, token_id: null, is_finished: false, candidates, children },
});
const TREE = treeFile(
  [
    node(7, ' x', 0.5, { children: [node(8, ' y', 0.9), node(9, '<end_of_turn>', 0.1, { is_finished: true })] }),
    node(9, '<end_of_turn>', 0.25),
    node(10, ' z', 0),
  ],
  [{ text: ' x', prob: 0.5, token_id: 7 }],
);

describe('run files', () => {
  test('a whole file', () => {
    const document = importText('a.run.jsonl', RUN);
    expect(document).toMatchObject({ kind: 'run', key: 'file:a.run.jsonl', name: 'a.run.jsonl' });
    const run = runOf(RUN);
    expect(run.size).toBe(4);
    expect(run.end?.reason).toBe('interrupted');
    expect(run.state.get(3)).toBe(State.EndToken);
    expect(runOf(`\ufeff${RUN.replaceAll('\n', '\r\n')}`).size).toBe(4);
  });

  test('cut at every byte: what was whole is there, and nothing else is refused', () => {
    const bytes = new TextEncoder().encode(RUN);
    const headerEnd = bytes.indexOf(10);
    const sizes = new Set<number>();
    for (let n = 0; n < bytes.length; n++) {
      const text = new TextDecoder().decode(bytes.subarray(0, n));
      // A line without its line feed was cut.
      if (n <= headerEnd) {
        expect(() => importText('x', text)).toThrow(FormatError);
        continue;
      }
      const run = runOf(text);
      sizes.add(run.size);
      expect(run.state.get(0) === State.Expanded).toBe(run.size > 1);
    }
    // Never a part of an expand's children.
    expect([...sizes]).toEqual([1, 3, 4]);
  });

  test('cut at every byte of a tree and of records: refused or read, never another error', () => {
    const record = JSON.stringify({
      prompt: 'p',
      response: 'r',
      data: [{ token: 'ü', logprob: -1, other_tokens: [] }],
    });
    for (const text of [JSON.stringify(TREE), `${record}\n${record}\n`]) {
      for (let n = 0; n < text.length; n++) {
        try {
          importText('x', text.slice(0, n));
        } catch (e) {
          expect(e).toBeInstanceOf(FormatError);
        }
      }
    }
  });

  test('chunks cut anywhere give the same run', () => {
    for (const size of [1, 2, 7, 100]) {
      const reader = new RunLines();
      for (let at = 0; at < RUN.length; at += size) reader.feed(RUN.slice(at, at + size));
      reader.finish();
      expect(reader.run?.size).toBe(4);
      expect(reader.line).toBe(EVENTS.length + 1);
    }
  });

  test('a bad line is refused with its number and reason', () => {
    const bad = (i: number, event: object | string) => {
      const all = [HEADER, ...EVENTS].map((e) => JSON.stringify(e));
      all[i] = typeof event === 'string' ? event : JSON.stringify(event);
      return refusal(`${all.join('\n')}\n`);
    };
    expect(bad(2, '{"type":"node"')).toMatch(/^line 3: not valid JSON: /);
    expect(bad(2, '[]')).toBe('line 3: not a JSON object');
    expect(bad(2, 'null')).toBe('line 3: not a JSON object');
    expect(bad(1, { ...EVENTS[0], children: 1 })).toBe('line 4: node 2 belongs to no `expand`');
    expect(bad(1, { ...EVENTS[0], children: 3 })).toBe('line 5: 1 `node` lines of the last `expand` are missing');
    expect(bad(1, { ...EVENTS[0], top: [null] })).toBe('line 2: a token of `top` needs `id` and `text`');
    expect(bad(1, { ...EVENTS[0], node: 9 })).toBe('line 2: node 9 does not exist yet');
    expect(bad(1, { ...EVENTS[0], entropy: null })).toBe('line 2: `entropy` must be a finite number');
    expect(bad(2, { ...EVENTS[1], node: 5 })).toBe('line 3: node 5 where node 1 should be');
    expect(bad(2, { ...EVENTS[1], parent: 3 })).toBe('line 3: the parent of node 1 is 3, not 0');
    expect(bad(3, { ...EVENTS[2], id: 5 })).toBe('line 4: token 5 comes twice among the children of node 0');
    expect(bad(2, { ...EVENTS[1], logprob: 2 })).toBe('line 3: `logprob` of token 5 is 2, not a log probability');
    expect(bad(6, { type: 'stop', node: 3, reason: 'toString' })).toBe('line 7: unknown stop reason "toString"');
    expect(bad(6, { type: '__proto__' })).toBe('line 7: unknown line type "__proto__"');
    expect(refusal(RUN + lines({ ...EVENTS[0], children: 0 }))).toBe('line 9: node 0 was already visited');
    expect(bad(3, HEADER)).toMatch(/^line 4: /);
    expect(bad(0, { ...HEADER, version: 2 })).toMatch(/^line 1: format version 2 was made by a newer/);
    expect(bad(0, { ...HEADER, model: undefined })).toBe('line 1: `model` of the header is missing');
    const prompt = { ...HEADER.prompt, messages: [{ role: 'user' }] };
    expect(bad(0, { ...HEADER, prompt })).toBe('line 1: an entry of `prompt.messages` needs `role` and `content`');
    expect(bad(0, EVENTS[0]!)).toBe('line 1: the file does not begin with a header');
    expect(refusal(`${RUN}{"type":"what"}\n`)).toBe('line 9: unknown line type "what"');
    // Without its line feed it is the beginning of a line, whatever it says.
    expect(runOf(`${RUN}{"type":"what"}`).size).toBe(4);
  });

  test('watched strings', () => {
    const header = { ...HEADER, watch: [{ text: 'w', tokens: [{ id: 5, text: 'w' }] }] };
    const run = runOf(lines(header, { ...EVENTS[0], watch: [{ logprob: null }] }, EVENTS[1]!, EVENTS[2]!));
    expect(run.watch.get(0)).toEqual([{ logprob: Number.NEGATIVE_INFINITY }]);
    expect(refusal(lines(header, EVENTS[0]!))).toBe(
      'line 2: `watch` must have one entry for each of the 1 strings of the header',
    );
  });

  test("the user's nodes", () => {
    const run = runOf(lines(HEADER, ...EVENTS, { ...top(7, ' c', -3), type: 'node', node: 4, parent: 0, by: 'user' }));
    expect(run.childWith(ROOT, 7)).toBe(4);
  });
});

describe('tree JSON', () => {
  test('becomes a run', () => {
    for (const text of [JSON.stringify(TREE), JSON.stringify(TREE, null, 2), `${JSON.stringify(TREE)}\n\n`]) {
      const run = runOf(text);
      expect(run.size).toBe(6);
      expect(run.header.prompt.text).toBe('Hi');
      expect(run.header.parameters).toEqual({ max_depth: 2 });
      const [x, end, z] = [run.childWith(ROOT, 7), run.childWith(ROOT, 9), run.childWith(ROOT, 10)];
      expect(run.nodeText(x)).toBe(' x');
      expect(Math.exp(run.logprob.get(x))).toBeCloseTo(0.5);
      // The file reads 0: less than half of the sixth digit.
      expect(run.mass(z)).toBeCloseTo(5e-7);
      // The file has none: it is at least what its list says.
      expect(run.entropy.get(ROOT)).toBeCloseTo(Math.LN2, 4);
      expect(run.bound.get(ROOT)).toBe(1);
      expect(run.varentropy.get(ROOT)).toBeNaN();
      expect(run.listed(ROOT).map((l) => l.node)).toEqual([x, end, z]);
      expect([x, end, z].map((n) => run.state.get(n))).toEqual([State.Expanded, State.EndToken, State.Open]);
      expect(run.state.get(run.childWith(x, 8))).toBe(State.MaxDepth);
      expect(run.isEndToken(9)).toBe(true);
      const { finished, frontier, pruned } = run.end!.mass;
      expect(finished + frontier + pruned).toBeCloseTo(1);
      expect(run.end).toMatchObject({ nodes: 6, completed: 2 });
    }
  });

  test('schema errors are listed together', () => {
    expect(refusal('{"metadata":{}}')).toBe(
      '`metadata.prompt` is missing; `metadata.parameters` is missing; `tree` is missing',
    );
    expect(refusal('{"tree":{}}')).toBe(
      '`metadata` is missing; `tree.prob` is missing or not a probability; `tree.candidates` is missing; ' +
        '`tree.children` is missing',
    );
    const many = treeFile(Array.from({ length: 30 }, (_, i) => node(i, 'x', 2)));
    expect(refusal(JSON.stringify(many))).toMatch(/node 10: `prob` is missing or not a probability; and 20 more$/);
    expect(refusal(JSON.stringify(treeFile([node(1, 'a', 0.1), node(1, 'b', 0.1)])))).toMatch(/token 1 comes twice/);
    expect(refusal(JSON.stringify(treeFile([], [null as unknown as object])))).toMatch(/node 0: a candidate needs/);
    expect(refusal(JSON.stringify(treeFile([], [], { a: [] })))).toBe('`metadata.parameters.a` is not a plain value');
    expect(refusal(JSON.stringify(TREE).slice(0, -2))).toMatch(/^not valid JSON: /);
  });

  test("a missing probability is taken from the parent's list", () => {
    const run = runOf(JSON.stringify(treeFile([node(1, 'a', undefined)], [{ text: 'a', prob: 0.25, token_id: 1 }])));
    expect(run.mass(1)).toBeCloseTo(0.25);
  });

  test('100,000 levels deep', () => {
    const depth = 100_000;
    const open = '{"text":" a","prob":0.5,"token_id":1,"candidates":[],"children":[';
    const text = `{"metadata":{"prompt":"p","parameters":{}},"tree":${open.repeat(depth)}${']}'.repeat(depth)}}`;
    const run = runOf(text);
    expect(run.size).toBe(depth);
    expect(run.depth.get(run.descend(ROOT))).toBe(depth - 1);
  });
});

describe('logprobs', () => {
  const record = { prompt: 'p', response: 'r', data: [{ token: 'a', logprob: -1, prob: 36.8, other_tokens: [] }] };

  test('a card for every line, bad ones too', () => {
    const cards = cardsOf(`${lines(record)}{"prompt":\n\n${lines(record)}`);
    expect(cards.map((c) => [c.line, 'record' in c])).toEqual([
      [1, true],
      [2, false],
      [4, true],
    ]);
    expect(cardsOf(`nonsense\n${lines(record)}`)).toHaveLength(2);
    expect(cardsOf('{"prompt":"p","response":"r"}')).toMatchObject([{ error: '`data` is missing' }]);
    expect(cardsOf(`${JSON.stringify(record)}`)).toHaveLength(1);
  });
});

describe('hostile files', () => {
  test('other types', () => {
    const wrong = 'neither a run file, nor a tree in JSON, nor logprobs in JSON Lines';
    const texts = [
      '1',
      '[]',
      '{}',
      '"x"',
      'null',
      'hello\nworld',
      '<html>',
      '{"a":1}\n{"b":2}',
      '[{"metadata":{}}]',
      '\0\x01',
    ];
    for (const text of [...texts, '{"__proto__":{"tree":{},"metadata":{},"type":"header"}}']) {
      expect(refusal(text)).toBe(wrong);
    }
    for (const text of ['', ' \n\t\n', '\ufeff']) expect(refusal(text)).toBe('the file is empty');
    expect(refusal('x'.repeat(MAX_SIZE + 1))).toBe('the file has 501 MB; the limit is 500 MB');
    expect(refusal(`{"metadata":${' '.repeat(MAX_WHOLE)}`)).toBe(
      'the file has 101 MB; the limit is 100 MB for trees and records, 500 MB for run files',
    );
  });

  test('the same document, however the text is cut', () => {
    const texts = [RUN, `\ufeff \n${RUN}`, JSON.stringify(treeFile([])), '{"prompt":"p","data":[]}\nbad\n'];
    for (const text of texts) {
      const whole = importText('x', text);
      for (const step of [1, 7, 100]) {
        const importer = new Importer('x', text.length);
        for (let at = 0; at < text.length; at += step) importer.feed(text.slice(at, at + step));
        const document = importer.finish();
        if (document.kind === 'run' && whole.kind === 'run') expect(document.run.size).toBe(whole.run.size);
        else expect(document).toEqual(whole);
      }
    }
  });

  test('text stays text', () => {
    const evil = '<script>alert(1)</script>\u0000\u202e\ud800';
    const run = runOf(JSON.stringify(treeFile([node(1, evil, 0.5)], [], { [evil]: evil })), evil);
    expect(run.nodeText(1)).toBe(evil);
    expect(Object.keys(run.header.parameters)).toEqual([evil]);
    // A lone surrogate has no bytes of its own.
    expect(new TextDecoder().decode(run.bytes(1))).toContain('\ufffd');
  });

  test('__proto__ changes no prototype', () => {
    const text = JSON.stringify(treeFile([])).replace('"max_depth":2', '"__proto__":1e3,"constructor":"x"');
    const { parameters } = runOf(text).header;
    expect(Object.getPrototypeOf(parameters)).toBe(Object.prototype);
    expect(Object.entries(parameters)).toEqual([
      ['__proto__', 1000],
      ['constructor', 'x'],
    ]);
    const nested = JSON.stringify(treeFile([])).replace('"max_depth":2', '"__proto__":{"polluted":1}');
    expect(refusal(nested)).toBe('`metadata.parameters.__proto__` is not a plain value');
    expect(({} as { polluted?: number }).polluted).toBeUndefined();
  });

  test('huge numbers', () => {
    const tree = JSON.stringify(treeFile([node(1, 'a', 0.123)]));
    for (const n of ['1e999', '-1', '-1e999', '1.1', '"0.5"', '[]'])
      expect(refusal(tree.replace('0.123', n))).toMatch(/node 1: `prob`/);
    for (const id of ['1e999', '1e15', '-1', '1.5', 'null']) {
      expect(refusal(tree.replace('"token_id":1', `"token_id":${id}`))).toBe('node 1: `token_id` is missing');
    }
    const events = JSON.stringify(EVENTS[1]).replace('-0.5', '-1e999');
    expect(refusal(`${lines(HEADER, EVENTS[0]!)}${events}\n`)).toMatch(/^line 3: `logprob` of token 5/);
    for (const children of [1e300, -1, 0.5, '2', null])
      expect(refusal(lines(HEADER, { ...EVENTS[0], children }, EVENTS[1]!))).toMatch(/^line 2: |belongs to no/);
  });
});

describe('readFile', () => {
  const fileOf = (parts: (string | Uint8Array<ArrayBuffer>)[], name = 'x') => new File(parts, name);

  test('reads with progress', async () => {
    const seen: number[] = [];
    const document = await readFile(fileOf([RUN], '<b>.jsonl'), (f) => seen.push(f));
    expect(document).toMatchObject({ kind: 'run', key: 'file:<b>.jsonl' });
    expect(seen.at(0)).toBe(0);
    expect(seen.at(-1)).toBe(1);
    expect(seen).toEqual([...seen].sort((a, b) => a - b));
  });

  test('refuses what is empty, too large, or not text', async () => {
    const nothing = () => {};
    await expect(readFile(fileOf([]), nothing)).rejects.toThrow('the file is empty');
    await expect(readFile(fileOf([Uint8Array.from([0xff, 0xfe, 0])]), nothing)).rejects.toThrow('not text in UTF-8');
    const large = { size: MAX_SIZE + 1, name: 'x' } as File;
    await expect(readFile(large, nothing)).rejects.toThrow('the limit is 500 MB');
  });
});
