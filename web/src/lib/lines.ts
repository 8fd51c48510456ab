// Lines of a run file, fed in chunks as they come: from a file, or from a server while the model explores.

import type { ExpandEvent, Header, NodeEvent, RunEvent, Token, TopToken } from './format';
import { FormatError, Run, State } from './run';

/** Exact arithmetic gives at most 0; other writers may round. */
const ROUNDING = 1e-6;
/** How much more probability siblings may have together if their logprobs come from different orders of sums. */
const MIXED = 5e-4;

const STOP_REASONS = new Set<unknown>(['end_token', 'max_depth', 'pruned', 'decided', 'context']);

type Json = Record<string, unknown>;

const isObject = (x: unknown): x is Json => typeof x === 'object' && x !== null && !Array.isArray(x);
const isCount = (x: unknown): x is number => Number.isSafeInteger(x) && (x as number) >= 0;
/** Ids and numbers of nodes are kept in 32 bits. */
const isIndex = (x: unknown): x is number => isCount(x) && x < 2 ** 31;

/** Refuses tokens that the model does not have; an imported run knows no vocabulary. */
function checkIds(tokens: Token[], vocab: number): void {
  if (!(vocab > 0)) return;
  const outside = tokens.find((t) => t.id >= vocab);
  if (outside) throw new FormatError(`token id ${outside.id} is outside the vocabulary of ${vocab}`);
}

/** A JSON object's value, or what is wrong with it. */
export function parseObject(line: string): Json {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (e) {
    throw new FormatError(`not valid JSON: ${(e as Error).message}`);
  }
  if (!isObject(value)) throw new FormatError('not a JSON object');
  return value;
}

function checkToken(x: unknown, what: string): void {
  const t = x as Token;
  if (!isObject(x) || !isIndex(t.id) || typeof t.text !== 'string')
    throw new FormatError(`${what} needs \`id\` and \`text\``);
  if (t.bytes === undefined || t.bytes === null) return;
  if (!Array.isArray(t.bytes) || !t.bytes.every((b) => isCount(b) && b < 256))
    throw new FormatError(`\`bytes\` of ${what} is not a list of bytes`);
}

function checkLogprob(x: unknown, what: string): void {
  const { logprob } = x as TopToken;
  // JSON.parse reads a number that is too large as infinite.
  if (typeof logprob !== 'number' || !Number.isFinite(logprob) || logprob > ROUNDING)
    throw new FormatError(`\`logprob\` of ${what} is ${JSON.stringify(logprob) ?? 'missing'}, not a log probability`);
}

function checkHeader(line: Json): void {
  const h = line as unknown as Header;
  if (h.format !== 'logitree-run') throw new FormatError('`format` is not "logitree-run"');
  if (!isCount(h.version)) throw new FormatError('`version` of the header is missing');
  // A newer version may have all the rest otherwise: the run says so.
  if (h.version > 1) return;
  for (const name of ['model', 'prompt', 'parameters'] as const)
    if (!isObject(h[name])) throw new FormatError(`\`${name}\` of the header is missing`);
  for (const name of ['engine', 'strategy', 'created', 'logitree'] as const)
    if (typeof h[name] !== 'string') throw new FormatError(`\`${name}\` of the header is missing`);
  if (typeof h.model.name !== 'string') throw new FormatError('`model.name` of the header is missing');
  if (!Array.isArray(h.model.end_tokens)) throw new FormatError('`model.end_tokens` of the header is missing');
  if (typeof h.prompt.text !== 'string') throw new FormatError('`prompt.text` of the header is missing');
  if (!Array.isArray(h.prompt.tokens)) throw new FormatError('`prompt.tokens` of the header is missing');
  checkOrders(h.model.summation_orders, '`model.summation_orders` of the header');
  for (const t of h.prompt.tokens) checkToken(t, 'a token of the prompt');
  const messages: unknown = h.prompt.messages ?? [];
  const isMessage = (m: unknown) => isObject(m) && typeof m.role === 'string' && typeof m.content === 'string';
  if (!Array.isArray(messages) || !messages.every(isMessage))
    throw new FormatError('an entry of `prompt.messages` needs `role` and `content`');
  if (h.prompt.template_args !== undefined && !isObject(h.prompt.template_args))
    throw new FormatError('`prompt.template_args` is not an object');
  if (h.hash_logits !== undefined && typeof h.hash_logits !== 'boolean')
    throw new FormatError('`hash_logits` of the header is neither true nor false');
  if (h.watch === undefined) return;
  if (!Array.isArray(h.watch)) throw new FormatError('`watch` of the header is not a list');
  for (const w of h.watch) {
    if (!isObject(w) || typeof w.text !== 'string' || !Array.isArray(w.tokens))
      throw new FormatError('an entry of `watch` needs `text` and `tokens`');
    if (w.tokens.length === 0) throw new FormatError('a string of `watch` has no tokens');
    for (const t of w.tokens) checkToken(t, 'a token of `watch`');
  }
}

/** Orders of sums have small numbers. */
function checkOrders(orders: unknown, what: string): void {
  if (orders !== undefined && !(Array.isArray(orders) && orders.every(isIndex)))
    throw new FormatError(`${what} is not a list of numbers`);
}

function checkExpand(line: Json): void {
  const e = line as unknown as ExpandEvent;
  if (!isCount(e.children)) throw new FormatError('`expand` without `children`');
  if (!isCount(e.queue)) throw new FormatError('`expand` without `queue`');
  for (const name of ['entropy', 'varentropy'] as const)
    if (!Number.isFinite(e[name])) throw new FormatError(`\`${name}\` must be a finite number`);
  if (e.threshold !== undefined && e.threshold !== null && !Number.isFinite(e.threshold))
    throw new FormatError('`threshold` is not a number');
  if (!Array.isArray(e.top)) throw new FormatError('`expand` without `top`');
  for (const t of e.top) {
    checkToken(t, 'a token of `top`');
    checkLogprob(t, `token ${t.id}`);
  }
  const hash: unknown = e.logits_sha256 ?? undefined;
  if (hash !== undefined && !(typeof hash === 'string' && /^[0-9a-f]{64}$/i.test(hash)))
    throw new FormatError('`logits_sha256` does not have 64 hexadecimal digits');
  for (const name of ['adopts', 'watch'] as const) {
    const list = e[name];
    if (list !== undefined && !(Array.isArray(list) && list.every(isObject)))
      throw new FormatError(`\`${name}\` is not a list of objects`);
  }
}

/** An event whose own fields are as they should be; whether it fits the run so far, the run says. */
function checkEvent(line: Json): RunEvent {
  switch (line.type) {
    case 'expand':
      checkExpand(line);
      break;
    case 'node':
      checkToken(line, 'a `node`');
      checkLogprob(line, `token ${line.id}`);
      break;
    case 'stop':
      if (!STOP_REASONS.has(line.reason)) throw new FormatError(`unknown stop reason ${JSON.stringify(line.reason)}`);
      break;
    case 'end':
      if (typeof line.reason !== 'string' || !isObject(line.mass))
        throw new FormatError('`end` needs `reason` and `mass`');
      checkOrders(line.summation_orders, '`summation_orders` of an `end`');
      break;
  }
  return line as unknown as RunEvent;
}

/** An `expand` and those of its nodes that have come. */
interface Group {
  expand: ExpandEvent;
  line: number;
  nodes: NodeEvent[];
  siblings: Siblings;
}

/** What another child is checked against. */
interface Siblings {
  tokens: Set<number>;
  kept: number;
}

/**
 * Makes a run of text. An `expand` changes the run only when all of its nodes have come, so a file that ends in between, and a
 * view that looks in between, see a run without it. A bad line throws a FormatError that begins with its number.
 */
export class RunLines {
  run: Run | null;
  /** Lines taken. */
  line = 0;
  /** Pieces of a last line that is not whole yet: joined only once, since a line may come in thousands of them. */
  private rest: string[] = [];
  private group: Group | null = null;
  /** Children of the nodes that the user added some to: to go through them for each of thousands takes too long. */
  private readonly grafted = new Map<number, Siblings>();

  constructor(run: Run | null = null) {
    this.run = run;
  }

  /** Takes text cut anywhere. */
  feed(text: string): void {
    let start = 0;
    for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', start)) {
      this.rest.push(text.slice(start, at));
      const line = this.rest.join('');
      this.rest = [];
      start = at + 1;
      this.take(line);
    }
    if (start < text.length) this.rest.push(text.slice(start));
  }

  /** Nothing more comes. What was cut in between is not an error, as long as there is a header; returns whether it was. */
  finish(): boolean {
    // A line without its line feed was cut, even where it reads well: the next digit of a number may be missing.
    const cut = this.group !== null || this.rest.length > 0;
    this.rest = [];
    this.group = null;
    if (!this.run) throw new FormatError('line 1: the file was cut within its header');
    return cut;
  }

  private take(line: string): void {
    this.line++;
    if (line.trim() === '') return;
    try {
      this.event(parseObject(line));
    } catch (e) {
      if (!(e instanceof FormatError)) throw e;
      throw e instanceof Placed ? e : new Placed(`line ${this.line}: ${e.message}`);
    }
  }

  private event(line: Json): void {
    if (!this.run) {
      if (line.type !== 'header') throw new FormatError('the file does not begin with a header');
      checkHeader(line);
      const header = line as unknown as Header;
      const run = new Run(header);
      checkIds([...header.prompt.tokens, ...(header.watch ?? []).flatMap((w) => w.tokens)], header.model.vocab);
      this.run = run;
      return;
    }
    const event = checkEvent(line);
    const tokens = event.type === 'expand' ? event.top : event.type === 'node' ? [event] : [];
    checkIds(tokens, this.run.header.model.vocab);
    if (this.group) this.member(this.group, event, this.run);
    else if (event.type === 'expand') this.begin(event, this.run);
    else if (event.type === 'node') this.graft(event, this.run);
    else this.run.feed(event);
  }

  /** The tokens of a node's children, and their probability together. */
  private siblings(parent: number, run: Run): Siblings {
    const found = { tokens: new Set<number>(), kept: 0 };
    for (const c of run.childrenOf(parent)) {
      found.tokens.add(run.token.get(c));
      found.kept += Math.exp(run.logprob.get(c));
    }
    return found;
  }

  private begin(expand: ExpandEvent, run: Run): void {
    run.checkExpandable(expand);
    if (expand.children + (expand.adopts?.length ?? 0) === 0)
      throw new FormatError('an `expand` has at least one child');
    const [watch, wanted] = [expand.watch ?? [], run.header.watch?.length ?? 0];
    if (watch.length !== wanted)
      throw new FormatError(`\`watch\` must have one entry for each of the ${wanted} strings of the header`);
    for (const w of watch) {
      // JSON has no infinite numbers: null is the log of 0.
      w.logprob ??= Number.NEGATIVE_INFINITY;
      if (typeof w.logprob !== 'number' || w.logprob > ROUNDING)
        throw new FormatError('`watch` needs log probabilities');
    }
    this.group = { expand, line: this.line, nodes: [], siblings: this.siblings(expand.node, run) };
    if (expand.children === 0) this.apply(this.group, run);
  }

  private member(group: Group, event: RunEvent, run: Run): void {
    const { expand, nodes, siblings } = group;
    if (event.type !== 'node') {
      const missing = expand.children - nodes.length;
      throw new FormatError(`${missing} \`node\` lines of the last \`expand\` are missing`);
    }
    const expected = run.size + nodes.length;
    if (event.node !== expected) throw new FormatError(`node ${event.node} where node ${expected} should be`);
    if (event.parent !== expand.node)
      throw new FormatError(`the parent of node ${expected} is ${event.parent}, not ${expand.node}`);
    if ((event.by === 'user') !== (expand.by === 'user'))
      throw new FormatError(`node ${expected} and its \`expand\` differ in \`by\``);
    join(siblings, event, run);
    nodes.push(event);
    if (nodes.length === expand.children) this.apply(group, run);
  }

  private apply(group: Group, run: Run): void {
    this.group = null;
    this.grafted.delete(group.expand.node);
    try {
      run.feed(group.expand);
      for (const n of group.nodes) run.feed(n);
    } catch (e) {
      // Found out at the last of its lines, but it is the first that is wrong.
      if (e instanceof FormatError) throw new Placed(`line ${group.line}: ${e.message}`);
      throw e;
    }
  }

  /** A node that the user added to an expanded one. */
  private graft(event: NodeEvent, run: Run): void {
    if (event.by !== 'user') throw new FormatError(`node ${event.node} belongs to no \`expand\``);
    const { parent } = event;
    if (!isIndex(parent) || parent >= run.size || run.state.get(parent) !== State.Expanded)
      throw new FormatError(`the parent of node ${event.node} is not an expanded node`);
    const siblings = this.grafted.get(parent) ?? this.siblings(parent, run);
    join(siblings, event, run);
    this.grafted.set(parent, siblings);
    run.feed(event);
  }
}

/** Takes a child to its siblings. Refuses one that is there already, or that makes them more than all probability. */
function join(siblings: Siblings, event: NodeEvent, run: Run): void {
  if (siblings.tokens.has(event.id)) throw twice(event);
  siblings.tokens.add(event.id);
  siblings.kept += Math.exp(event.logprob);
  // Room for writers that round to six digits, and for children of different orders of sums.
  const mixed = (run.header.model.summation_orders?.length ?? 1) > 1 ? MIXED : 0;
  if (siblings.kept > 1 + ROUNDING * (1 + siblings.tokens.size) + mixed)
    throw new FormatError(`the children of node ${event.parent} have a probability of ${siblings.kept} together`);
}

/** An error that already says where. */
class Placed extends FormatError {}

const twice = (e: NodeEvent): FormatError =>
  new FormatError(`token ${e.id} comes twice among the children of node ${e.parent}`);
