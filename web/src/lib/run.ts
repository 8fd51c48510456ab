// A run as columns, fed line by line: from a file, or from a server while the model explores.

import { f32, f64, i32, u8 } from './columns';
import type { EndEvent, ExpandEvent, Header, Mass, NodeEvent, RunEvent, StopReason, Token, TopToken } from './format';

export const ROOT = 0;
export const NONE = -1;

/** Where a node stands. */
export const State = { Open: 0, Expanded: 1, EndToken: 2, MaxDepth: 3, Pruned: 4, Decided: 5, Context: 6 } as const;
export type State = (typeof State)[keyof typeof State];

const STOPS: Record<StopReason, State> = {
  end_token: State.EndToken,
  max_depth: State.MaxDepth,
  pruned: State.Pruned,
  decided: State.Decided,
  context: State.Context,
};

/** What is wrong with a line. */
export class FormatError extends Error {}

/** A token of a step's list. */
export interface Listed {
  id: number;
  logprob: number;
  /** 1 is the most likely. */
  rank: number;
  /** The child that is this token, or NONE. */
  node: number;
}

/** Probabilities that are shown in place of the model's own. Minus infinity is a token that is cut. */
export interface Weights {
  logprobOf(n: number): number;
  pathLogprobOf(n: number): number;
  /** Whether a token's number is only about right, because its step's list is too short. */
  isRough(n: number): boolean;
  /** The same of the path. */
  isPathRough(n: number): boolean;
}

const encoder = new TextEncoder();

/** What the entropy of a step is at least, in nats: the listed tokens and all others as one. Splitting these further only adds to it. */
function leastEntropy({ entropy, top }: ExpandEvent): number {
  const probs = top.map((t) => Math.exp(t.logprob));
  const rest = Math.max(0, 1 - probs.reduce((a, b) => a + b, 0));
  const bound = [...probs, rest].reduce((sum, p) => (p > 0 ? sum - p * Math.log(p) : sum), 0);
  return Math.max(Number.isFinite(entropy) ? entropy : 0, bound);
}

/** Whether an unlisted token may be above the threshold: it is no likelier than the last listed, nor than the rest. */
function mayHaveMore({ exactness = 'exact', threshold = 0, top, children, adopts = [] }: ExpandEvent): boolean {
  if (exactness === 'exact') return false;
  const probs = top.map((t) => Math.exp(t.logprob));
  const rest = 1 - probs.reduce((a, b) => a + b, 0);
  const unlisted = rest < 1e-9 ? 0 : Math.min(probs.at(-1) ?? 1, rest);
  // Where listed tokens above the threshold were cut, a rule limits the branches, not the list.
  return unlisted > threshold && children + adopts.length >= probs.filter((p) => p > threshold).length;
}

export class Run {
  readonly header: Header;
  /** Grows with every change; what is derived from the run compares it. */
  version = 0;
  /** What is shown in place of the model's own probabilities. */
  private weights: Weights | null = null;
  /** Budgets in force. */
  limits: Record<string, unknown>;
  /** The last `end` line, if nothing came after it. */
  end: EndEvent | null = null;

  readonly parent = i32();
  readonly depth = i32();
  readonly token = i32();
  readonly logprob = f64();
  readonly pathLogprob = f64();
  readonly state = u8();
  /** 1: made by the user, not by the strategy. */
  readonly byUser = u8();
  /** 1: the strategy expanded the node or made it a leaf. An end token is a leaf before that. */
  private readonly visited = u8();
  readonly samples = i32();
  readonly firstChild = i32(NONE);
  readonly nextSibling = i32(NONE);
  private readonly lastChild = i32(NONE);
  readonly children = i32();
  /** Of the step after the node; NaN where it was not expanded. */
  readonly entropy = f32();
  readonly varentropy = f32();
  readonly threshold = f32();
  readonly queue = i32();
  /** 1: only the listed tokens were seen, so entropy is a lower bound. */
  readonly bound = u8();
  /** 1: the list ends above the threshold, so there may be branches that nobody saw. */
  readonly more = u8();
  /** Nodes with possibly more branches. */
  moreCount = 0;
  private readonly topStart = i32();
  private readonly topLength = i32();
  private readonly topId = i32();
  private readonly topLogprob = f64();
  readonly watch = new Map<number, { logprob: number; rank?: number }[]>();
  /** Texts of tokens by id. */
  private readonly texts = new Map<number, Token>();

  /** `node` lines that the last `expand` announced and that are still to come. */
  private pending = 0;

  constructor(header: Header) {
    if (header.type !== 'header' || header.format !== 'logitree-run') throw new FormatError('not a run file');
    if (header.version > 1) {
      throw new FormatError(`format version ${header.version} was made by a newer logitree`);
    }
    if (!Array.isArray(header.prompt?.tokens)) throw new FormatError('the header has no prompt');
    this.header = header;
    this.limits = { ...header.limits };
    for (const t of header.prompt.tokens) this.name(t);
    for (const w of header.watch ?? []) for (const t of w.tokens) this.name(t);
    this.add(NONE, NONE, 0, 0, false);
  }

  get size(): number {
    return this.parent.length;
  }

  /** Takes one line. A line that does not fit throws a FormatError and changes nothing. */
  feed(event: RunEvent): void {
    switch (event.type) {
      case 'expand': {
        this.checkExpandable(event);
        const n = event.node;
        if (!Array.isArray(event.top)) throw new FormatError('`expand` without `top`');
        this.state.set(n, State.Expanded);
        // The strategy's turn at a node is not over because the user was there.
        if (event.by !== 'user') this.visited.set(n, 1);
        const exact = (event.exactness ?? 'exact') === 'exact';
        this.entropy.set(n, exact ? event.entropy : leastEntropy(event));
        // What is not listed may vary as it likes.
        this.varentropy.set(n, exact ? event.varentropy : Number.NaN);
        this.threshold.set(n, event.threshold ?? Number.NaN);
        this.queue.set(n, event.queue);
        this.bound.set(n, exact ? 0 : 1);
        this.moreCount -= this.more.get(n);
        this.more.set(n, mayHaveMore(event) ? 1 : 0);
        this.moreCount += this.more.get(n);
        this.list(n, event.top);
        for (const { node, samples } of event.adopts ?? []) {
          this.byUser.set(this.known(node), 0);
          this.samples.set(node, samples ?? 0);
          // The strategy will see for itself why it goes no further.
          this.visited.set(node, 0);
          if (this.state.get(node) !== State.Expanded) this.leave(node, State.Open);
        }
        if (event.watch) this.watch.set(n, event.watch);
        this.pending = event.children;
        break;
      }
      case 'node':
        this.child(event);
        break;
      case 'stop': {
        const n = this.known(event.node);
        const state = Object.hasOwn(STOPS, event.reason) ? STOPS[event.reason] : undefined;
        if (state === undefined) throw new FormatError(`unknown stop reason ${JSON.stringify(event.reason)}`);
        this.checkTurn(n);
        this.visited.set(n, 1);
        // The strategy's stop of a node that the user went on from changes nothing to be seen.
        if (this.state.get(n) !== State.Expanded) this.leave(n, state);
        break;
      }
      case 'end':
        this.end = event;
        // Budgets that were given when it was resumed.
        if (event.limits) this.limits = { ...this.limits, ...event.limits };
        if (event.summation_orders) this.header.model.summation_orders = event.summation_orders;
        this.version++;
        return;
      case 'header':
        throw new FormatError('a second header');
      default:
        throw new FormatError(`unknown line type ${JSON.stringify((event as { type?: unknown }).type)}`);
    }
    this.end = null;
    this.version++;
  }

  /** Refuses a node that the strategy has been at: it visits each once. */
  private checkTurn(n: number): void {
    if (this.visited.get(n) === 1) throw new FormatError(`node ${n} was already visited`);
  }

  /** Refuses an `expand` that does not fit the run so far. */
  checkExpandable({ node, by, adopts = [] }: ExpandEvent): void {
    const n = this.known(node);
    if (by === 'user') {
      const state = this.state.get(n);
      if (state === State.Expanded || (state === State.EndToken && this.visited.get(n) === 1))
        throw new FormatError(`node ${n} cannot be expanded by the user`);
      if (adopts.length > 0) throw new FormatError('`adopts` is for the strategy, not for the user');
      return;
    }
    this.checkTurn(n);
    const nodes = new Set(adopts.map((a) => this.known(a.node)));
    const isUsers = (a: number) => this.byUser.get(a) === 1 && this.parent.get(a) === n;
    if (nodes.size !== adopts.length || ![...nodes].every(isUsers))
      throw new FormatError('`adopts` may only list children made by the user, each once');
  }

  /** Whether all announced lines of the last `expand` have come. */
  get whole(): boolean {
    return this.pending === 0;
  }

  private known(n: number): number {
    if (!Number.isInteger(n) || n < 0 || n >= this.size) throw new FormatError(`node ${n} does not exist yet`);
    return n;
  }

  private child(event: NodeEvent): void {
    const parent = this.known(event.parent);
    if (event.node !== this.size) throw new FormatError(`node ${event.node} where node ${this.size} should be`);
    if (this.state.get(parent) !== State.Expanded) throw new FormatError(`node ${parent} was not expanded`);
    if (typeof event.logprob !== 'number') throw new FormatError('`node` without `logprob`');
    this.name(event);
    this.add(parent, event.id, event.logprob, event.samples ?? 0, event.by === 'user');
    if (this.pending > 0) this.pending--;
  }

  private add(parent: number, token: number, logprob: number, samples: number, byUser: boolean): number {
    const n = this.size;
    this.parent.push(parent);
    this.depth.push(parent === NONE ? 0 : this.depth.get(parent) + 1);
    this.token.push(token);
    this.logprob.push(logprob);
    this.pathLogprob.push(parent === NONE ? 0 : this.pathLogprob.get(parent) + logprob);
    this.state.push(parent !== NONE && this.isEndToken(token) ? State.EndToken : State.Open);
    this.byUser.push(byUser ? 1 : 0);
    this.visited.push(0);
    this.samples.push(samples);
    this.firstChild.push(NONE);
    this.nextSibling.push(NONE);
    this.lastChild.push(NONE);
    this.children.push(0);
    this.entropy.push(Number.NaN);
    this.varentropy.push(Number.NaN);
    this.threshold.push(Number.NaN);
    this.queue.push(0);
    this.bound.push(0);
    this.more.push(0);
    this.topStart.push(0);
    this.topLength.push(0);
    if (parent !== NONE) this.link(parent, n);
    return n;
  }

  /** Makes a leaf of a node. A path that reached an end token is finished, whatever the strategy made of it. */
  private leave(n: number, state: State): void {
    this.state.set(n, n !== ROOT && this.isEndToken(this.token.get(n)) ? State.EndToken : state);
  }

  /** Siblings stand most likely first. */
  private link(parent: number, n: number): void {
    // Most children come in this very order.
    const last = this.lastChild.get(parent);
    const follows = last !== NONE && this.logprob.get(last) >= this.logprob.get(n);
    let before = follows ? last : NONE;
    let at = follows ? NONE : this.firstChild.get(parent);
    while (at !== NONE && this.logprob.get(at) >= this.logprob.get(n)) {
      before = at;
      at = this.nextSibling.get(at);
    }
    this.nextSibling.set(n, at);
    if (before === NONE) this.firstChild.set(parent, n);
    else this.nextSibling.set(before, n);
    if (at === NONE) this.lastChild.set(parent, n);
    this.children.set(parent, this.children.get(parent) + 1);
  }

  private name(token: Token): void {
    if (!Number.isInteger(token.id) || typeof token.text !== 'string')
      throw new FormatError('a token needs `id` and `text`');
    if (!this.texts.has(token.id)) {
      this.texts.set(
        token.id,
        token.bytes ? { id: token.id, text: token.text, bytes: token.bytes } : { id: token.id, text: token.text },
      );
    }
  }

  private list(n: number, top: TopToken[]): void {
    this.topStart.set(n, this.topId.length);
    this.topLength.set(n, top.length);
    for (const t of top) {
      this.name(t);
      this.topId.push(t.id);
      this.topLogprob.push(t.logprob);
    }
  }

  /** Text of a token; parts of characters read U+FFFD. */
  text(id: number): string {
    return this.texts.get(id)?.text ?? '';
  }

  /** Raw bytes of a token. */
  bytes(id: number): Uint8Array {
    const t = this.texts.get(id);
    return t?.bytes ? Uint8Array.from(t.bytes) : encoder.encode(t?.text ?? '');
  }

  /** Whether a token's bytes are not whole characters. */
  isPart(id: number): boolean {
    return this.texts.get(id)?.bytes !== undefined;
  }

  nodeText(n: number): string {
    return n === ROOT ? '' : this.text(this.token.get(n));
  }

  isEndToken(id: number): boolean {
    return this.header.model?.end_tokens?.includes(id) ?? false;
  }

  *childrenOf(n: number): Generator<number> {
    for (let c = this.firstChild.get(n); c !== NONE; c = this.nextSibling.get(c)) yield c;
  }

  /** The most likely child, or NONE. */
  best(n: number): number {
    return this.firstChild.get(n);
  }

  childWith(n: number, token: number): number {
    for (let c = this.firstChild.get(n); c !== NONE; c = this.nextSibling.get(c))
      if (this.token.get(c) === token) return c;
    return NONE;
  }

  /** The step's list after a node, most likely first; children that are not on it come at the end. */
  listed(n: number): Listed[] {
    const children = new Map<number, number>();
    for (const c of this.childrenOf(n)) children.set(this.token.get(c), c);
    const out: Listed[] = [];
    const start = this.topStart.get(n);
    for (let i = 0; i < this.topLength.get(n); i++) {
      const id = this.topId.get(start + i);
      out.push({ id, logprob: this.topLogprob.get(start + i), rank: i + 1, node: children.get(id) ?? NONE });
      children.delete(id);
    }
    for (const [id, node] of children) out.push({ id, logprob: this.logprob.get(node), rank: Number.NaN, node });
    return out;
  }

  /** Rank of a node's token in its step's list, NaN if it is not on it. */
  rank(n: number): number {
    const parent = this.parent.get(n);
    if (parent === NONE) return Number.NaN;
    const start = this.topStart.get(parent);
    for (let i = 0; i < this.topLength.get(parent); i++)
      if (this.topId.get(start + i) === this.token.get(n)) return i + 1;
    return Number.NaN;
  }

  /** Nodes from below the root to `n`. */
  path(n: number): number[] {
    const out: number[] = [];
    for (let at = n; at > ROOT; at = this.parent.get(at)) out.push(at);
    return out.reverse();
  }

  /** From `n` on, the most likely child at each step, down to a leaf. */
  descend(n: number): number {
    let at = n;
    for (let c = this.best(at); c !== NONE; c = this.best(at)) at = c;
    return at;
  }

  /** Whether `a` lies on the path to `n` (or is it). */
  isAncestor(a: number, n: number): boolean {
    let at = n;
    while (at > a) at = this.parent.get(at);
    return at === a;
  }

  /** Shows other probabilities, or again the model's own. */
  reweigh(weights: Weights | null): void {
    this.weights = weights;
    this.version++;
  }

  /** The logprob of a node's token, as it is shown. */
  logprobOf(n: number): number {
    return this.weights ? this.weights.logprobOf(n) : this.logprob.get(n);
  }

  /** The logprob of a path, as it is shown. */
  pathLogprobOf(n: number): number {
    return this.weights ? this.weights.pathLogprobOf(n) : this.pathLogprob.get(n);
  }

  /** Probability of a node's token. */
  probOf(n: number): number {
    return Math.exp(this.logprobOf(n));
  }

  /** Probability of the path. */
  mass(n: number): number {
    return Math.exp(this.pathLogprobOf(n));
  }

  /** Whether what is shown rules a path out. */
  isCut(n: number): boolean {
    return this.weights?.pathLogprobOf(n) === Number.NEGATIVE_INFINITY;
  }

  isRough(n: number): boolean {
    return this.weights?.isRough(n) ?? false;
  }

  isPathRough(n: number): boolean {
    return this.weights?.isPathRough(n) ?? false;
  }

  /** Logprob of the tokens after one, up to one of its descendants. */
  chainLogprob(after: number, last: number): number {
    let sum = 0;
    for (let n = last; n > after; n = this.parent.get(n)) sum += this.logprobOf(n);
    return sum;
  }

  /** Text of a path of nodes; characters split over tokens are whole. */
  pathText(n: number): string {
    const nodes = this.path(n).filter((m) => !(m === n && this.state.get(m) === State.EndToken));
    return this.textOf(nodes.map((m) => this.token.get(m)));
  }

  /** The prompt and a path's text. What is said in a conversation begins a line of its own. */
  wholeText(n: number): string {
    const { text, chat } = this.header.prompt;
    return `${text}${chat ? '\n' : ''}${this.pathText(n)}`;
  }

  /** Text of tokens; characters split over them are whole. */
  textOf(tokens: number[]): string {
    if (!tokens.some((t) => this.isPart(t))) return tokens.map((t) => this.text(t)).join('');
    const parts = tokens.map((t) => this.bytes(t));
    const all = new Uint8Array(parts.reduce((sum, p) => sum + p.length, 0));
    let at = 0;
    for (const p of parts) {
      all.set(p, at);
      at += p.length;
    }
    return new TextDecoder().decode(all);
  }

  /** Where the probability went: the three add up to 1. */
  accounting(): Mass {
    let finished = 0;
    let frontier = 0;
    let pruned = 0;
    for (let n = 0; n < this.size; n++) {
      const m = this.mass(n);
      switch (this.state.get(n)) {
        case State.Expanded: {
          let kept = 0;
          for (let c = this.firstChild.get(n); c !== NONE; c = this.nextSibling.get(c)) kept += this.probOf(c);
          pruned += m * (1 - kept);
          break;
        }
        case State.EndToken:
          finished += m;
          break;
        case State.Pruned:
          pruned += m;
          break;
        default:
          frontier += m;
      }
    }
    return { finished, frontier, pruned };
  }
}
