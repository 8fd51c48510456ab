// Lines of a run file, as docs/run-format.md describes them.

export interface Token {
  id: number;
  text: string;
  /** Raw bytes, where they are not valid UTF-8. */
  bytes?: number[];
}

export interface TopToken extends Token {
  logprob: number;
}

export interface Mass {
  finished: number;
  frontier: number;
  pruned: number;
}

/** What somebody says in a conversation. */
export interface Message {
  role: string;
  content: string;
}

export interface Header {
  type: 'header';
  format: string;
  version: number;
  logitree: string;
  created: string;
  model: {
    name: string;
    sha256: string;
    architecture: string;
    dtype: string;
    tokenizer: string;
    vocab: number;
    context: number;
    end_tokens: number[];
    /** Numbers of the orders in which sums of its steps were added up; the first files do not say, and servers have none. */
    summation_orders?: number[];
  };
  engine: string;
  prompt: {
    text: string;
    tokens: Token[];
    bos: boolean;
    chat: boolean;
    /** Names of control tokens in the text were taken as these tokens. */
    special?: boolean;
    /** The conversation that the chat template laid out; `text` is the last of it. */
    messages?: Message[];
    /** Variables that the chat template was given. */
    template_args?: Record<string, unknown>;
  };
  strategy: string;
  parameters: Record<string, unknown>;
  limits?: Record<string, unknown>;
  /** Tokens kept of each step's list, at least, or `p=PROB`; the first files do not say. */
  store_top?: number | string;
  /** Steps have a hash of all logits. */
  hash_logits?: boolean;
  watch?: { text: string; tokens: Token[] }[];
}

export interface ExpandEvent {
  type: 'expand';
  node: number;
  threshold?: number;
  queue: number;
  entropy: number;
  varentropy: number;
  logsumexp?: number;
  /** Hash of all logits, 64 hexadecimal digits, in runs that keep it. */
  logits_sha256?: string;
  exactness?: 'exact' | 'lower_bound' | 'retokenized';
  top: TopToken[];
  children: number;
  watch?: { logprob: number; rank?: number }[];
  /** Asked for by the user, not by the strategy. */
  by?: 'user';
  /** Children that the user had made and the strategy takes over. */
  adopts?: { node: number; samples?: number }[];
}

export interface NodeEvent extends Token {
  type: 'node';
  node: number;
  parent: number;
  logprob: number;
  samples?: number;
  by?: 'user';
}

export type StopReason = 'end_token' | 'max_depth' | 'pruned' | 'decided' | 'context';

export interface StopEvent {
  type: 'stop';
  node: number;
  reason: StopReason;
}

export type EndReason = 'finished' | 'max_nodes' | 'max_seconds' | 'interrupted' | 'failed';

export interface EndEvent {
  type: 'end';
  reason: EndReason;
  mass: Mass;
  nodes: number;
  completed: number;
  seconds: number;
  /** Budgets given when the run was resumed. */
  limits?: Record<string, unknown>;
  /** All orders of sums in the run, where it was gone on with in another one. */
  summation_orders?: number[];
}

export type RunEvent = Header | ExpandEvent | NodeEvent | StopEvent | EndEvent;
