// The notebook's nested tree as a run. Nothing here recurses: files nest 100,000 levels deep, and hostile ones more.

import type { Header, TopToken } from './format';
import { ROUNDED } from './records';
import { FormatError, ROOT, Run } from './run';

/** Smallest probability that rounding to six digits leaves: what reads 0 was below half of it. */
const LEAST = 5e-7;
/** Reasons that are listed; a file that is wrong throughout has thousands. */
const LISTED = 10;
const END_TEXTS = new Set(['<end_of_turn>', '<eos>']);

type Json = Record<string, unknown>;

/** A node as it stands in the file, with the place of its children. */
interface Raw {
  json: Json;
  depth: number;
  prob: number;
  /** The places of its children: they follow one another, since nodes stand level by level. */
  first: number;
  children: number;
}

const isObject = (x: unknown): x is Json => typeof x === 'object' && x !== null && !Array.isArray(x);
const isId = (x: unknown): x is number => Number.isInteger(x) && (x as number) >= 0 && (x as number) < 2 ** 31;
const isProb = (x: unknown): x is number => typeof x === 'number' && x >= 0 && x <= 1 + 1e-6;
const unrounded = (prob: number): number => Math.min(1, Math.max(LEAST, prob));
const list = (x: unknown): unknown[] => (Array.isArray(x) ? x : []);

/** Whether a JSON value is meant to be the notebook's tree. */
export const isTree = (x: unknown): x is Json =>
  isObject(x) && (Object.hasOwn(x, 'tree') || Object.hasOwn(x, 'metadata'));

/** All that is wrong with a file. */
class Faults {
  private readonly all: string[] = [];
  private more = 0;

  add(fault: string): void {
    if (this.all.length < LISTED) this.all.push(fault);
    else this.more++;
  }

  throwIfAny(): void {
    if (this.all.length === 0) return;
    throw new FormatError(this.all.join('; ') + (this.more > 0 ? `; and ${this.more} more` : ''));
  }
}

/** The tree as a run, and what was read otherwise than it stands. */
export function importTree(file: Json): { run: Run; notes: string[] } {
  const faults = new Faults();
  const { prompt, parameters } = metadata(file.metadata, faults);
  const nodes = isObject(file.tree) ? walk(file.tree, faults) : [];
  if (nodes.length === 0) faults.add('`tree` is missing');
  faults.throwIfAny();
  const notes = scaleAll(nodes, faults);
  faults.throwIfAny();
  return { run: build(prompt, parameters, nodes), notes };
}

const sumOf = (probs: number[]): number => probs.reduce((sum, p) => sum + p, 0);

/**
 * Refuses lists that have more probability than rounding to bf16 explains, and candidates that come twice; brings children
 * that have a little more than all down to 1, and says so.
 */
function scaleAll(nodes: Raw[], faults: Faults): string[] {
  let [scaled, most] = [0, 0];
  for (const [n, node] of nodes.entries()) {
    // The lists of a leaf are not read.
    if (node.children === 0) continue;
    const candidates = list(node.json.candidates) as Json[];
    const tokens = new Set<unknown>();
    const twice = candidates.find((c) => tokens.size === tokens.add(c.token_id).size);
    if (twice) faults.add(`node ${n}: \`candidates\`: token ${String(twice.token_id)} comes twice`);
    const children = nodes.slice(node.first, node.first + node.children);
    const together = sumOf(children.map((c) => c.prob));
    for (const [name, sum] of [
      ['candidates', sumOf(candidates.map((c) => unrounded(c.prob as number)))],
      ['children', together],
    ] as const)
      if (sum > 1 + ROUNDED)
        faults.add(`node ${n}: \`${name}\`: they have a probability of ${sum.toFixed(3)} together`);
    // What rounding to six digits gives, run files have room for.
    if (together <= 1 + 1e-6 * (1 + children.length)) continue;
    scaled++;
    most = Math.max(most, together);
    for (const c of children) c.prob /= together;
  }
  if (scaled === 0) return [];
  return [
    `the children of ${scaled} nodes have more than all probability, up to ${most.toFixed(4)}, as rounding gives: they are scaled to 1`,
  ];
}

function metadata(json: unknown, faults: Faults): { prompt: string; parameters: Json } {
  const parameters: Json = {};
  if (!isObject(json)) {
    faults.add('`metadata` is missing');
    return { prompt: '', parameters };
  }
  if (typeof json.prompt !== 'string') faults.add('`metadata.prompt` is missing');
  if (!isObject(json.parameters)) faults.add('`metadata.parameters` is missing');
  else {
    for (const [name, value] of Object.entries(json.parameters)) {
      if (typeof value === 'object' && value !== null)
        faults.add(`\`metadata.parameters.${name.slice(0, 60)}\` is not a plain value`);
      // Assigning to `__proto__` would set the prototype instead.
      else Object.defineProperty(parameters, name, { value, enumerable: true, writable: true, configurable: true });
    }
  }
  return { prompt: String(json.prompt), parameters };
}

/** All nodes level by level, the order in which the notebook made them. */
function walk(tree: Json, faults: Faults): Raw[] {
  if (!isProb(tree.prob)) faults.add('`tree.prob` is missing or not a probability');
  for (const name of ['candidates', 'children'] as const)
    if (!Array.isArray(tree[name])) faults.add(`\`tree.${name}\` is missing`);
  const nodes: Raw[] = [{ json: tree, depth: 0, prob: 1, first: 0, children: 0 }];
  for (let i = 0; i < nodes.length; i++) {
    const node = nodes[i]!;
    const candidates = list(node.json.candidates);
    for (const c of candidates)
      if (!isObject(c) || !isId(c.token_id) || !isProb(c.prob))
        faults.add(`node ${i}: a candidate needs \`token_id\` and a probability \`prob\``);
    const children = node.json.children;
    if (children !== undefined && children !== null && !Array.isArray(children))
      faults.add(`node ${i}: \`children\` is not a list`);
    node.first = nodes.length;
    const tokens = new Set<number>();
    const listed = listedProbs(candidates);
    for (const child of list(children)) {
      const at = nodes.length;
      if (!isObject(child)) {
        faults.add(`a child of node ${i} is not an object`);
        continue;
      }
      if (!isId(child.token_id)) faults.add(`node ${at}: \`token_id\` is missing`);
      else if (tokens.has(child.token_id))
        faults.add(`token ${child.token_id} comes twice among the children of node ${i}`);
      else tokens.add(child.token_id);
      const prob = probOf(child, listed);
      if (prob === null) faults.add(`node ${at}: \`prob\` is missing or not a probability`);
      nodes.push({ json: child, depth: node.depth + 1, prob: unrounded(prob ?? 0), first: 0, children: 0 });
    }
    node.children = nodes.length - node.first;
  }
  return nodes;
}

/** Probabilities by token that a step's list has, for children that the file says none of; made only if there is one. */
function listedProbs(candidates: unknown[]): (token: unknown) => number | null {
  let probs: Map<unknown, number> | null = null;
  return (token) => {
    if (!probs) {
      probs = new Map();
      for (const c of candidates) if (isObject(c) && isProb(c.prob)) probs.set(c.token_id, c.prob);
    }
    return probs.get(token) ?? null;
  };
}

/** A node's probability; where the file left it out, its parent's list may say it. */
function probOf(node: Json, listed: (token: unknown) => number | null): number | null {
  if (isProb(node.prob)) return node.prob;
  return node.prob === undefined || node.prob === null ? listed(node.token_id) : null;
}

const textOf = (json: Json): string => (typeof json.text === 'string' ? json.text : '');

/** Ids that end a generation: those that the notebook says ended one, and never went on from. */
function endTokens(nodes: Raw[]): Set<number> {
  const ends = new Set<number>();
  for (const { json } of nodes.slice(1))
    if (json.is_finished === true || END_TEXTS.has(textOf(json))) ends.add(json.token_id as number);
  for (const { json, children } of nodes) if (children > 0) ends.delete(json.token_id as number);
  return ends;
}

function build(prompt: string, parameters: Json, nodes: Raw[]): Run {
  const ends = endTokens(nodes);
  const run = new Run(header(prompt, parameters, [...ends]));
  const { max_depth } = parameters;
  const maxDepth = typeof max_depth === 'number' ? max_depth : Number.POSITIVE_INFINITY;
  // Nodes get the numbers of their places: both are level by level.
  let completed = 0;
  for (const [n, node] of nodes.entries()) {
    if (node.children > 0) expand(run, nodes, n);
    // The notebook may stop before it comes to mark an end token: it is one all the same.
    else if (n !== ROOT && (node.json.is_finished === true || ends.has(node.json.token_id as number))) {
      run.feed({ type: 'stop', node: n, reason: 'end_token' });
      completed++;
    } else if (node.depth >= maxDepth) run.feed({ type: 'stop', node: n, reason: 'max_depth' });
  }
  run.feed({ type: 'end', reason: 'finished', mass: run.accounting(), nodes: run.size, completed, seconds: 0 });
  return run;
}

function expand(run: Run, nodes: Raw[], n: number): void {
  const node = nodes[n]!;
  const top: TopToken[] = list(node.json.candidates).map((c) => {
    const json = c as Json;
    return { id: json.token_id as number, text: textOf(json), logprob: Math.log(unrounded(json.prob as number)) };
  });
  // The notebook kept no entropy.
  run.feed({
    type: 'expand',
    node: n,
    queue: 0,
    entropy: Number.NaN,
    varentropy: Number.NaN,
    exactness: 'lower_bound',
    top,
    children: node.children,
  });
  for (let at = node.first; at < node.first + node.children; at++) {
    const { json, prob } = nodes[at]!;
    run.feed({
      type: 'node',
      node: at,
      parent: n,
      id: json.token_id as number,
      text: textOf(json),
      logprob: Math.log(prob),
    });
  }
}

function header(text: string, parameters: Json, end_tokens: number[]): Header {
  return {
    type: 'header',
    format: 'logitree-run',
    version: 1,
    logitree: '',
    created: '',
    model: {
      name: '(not recorded)',
      sha256: '',
      architecture: '',
      dtype: '',
      tokenizer: '',
      vocab: 0,
      context: 0,
      end_tokens,
    },
    engine: 'imported from tree JSON, rounded',
    prompt: { text, tokens: [], bos: false, chat: false },
    strategy: 'dynamic',
    parameters,
  };
}
