// The server's API, as far as the pages use it.

import type { Message } from '../lib/format';
import type { Layers } from '../lib/layers';
import { send } from './transport';

export interface Status {
  state: 'queued' | 'running' | 'paused' | 'interrupted' | 'finished' | 'failed' | 'imported';
  nodes: number;
  completed: number;
  queue: number;
  threshold: number | null;
  rate: number;
  message: string | null;
  length: number;
  /** Number of requests made by hand that the model is working on. */
  writing: number;
}

export interface Info {
  id: string;
  name: string;
  kind: 'run' | 'records';
  prompt: string;
  model: string;
  strategy: string;
  created: string;
  max_nodes: number | null;
  status: Status;
}

export interface ServerInfo {
  version: string;
  model: {
    name: string;
    sha256: string;
    architecture: string;
    dtype: string;
    vocab: number;
    context: number;
    engine: string;
    chat: boolean;
    /** Whether it runs in the server's process, so that its layers can be looked at. */
    local: boolean;
  } | null;
  /** Whether another model can be loaded. */
  can_choose: boolean;
  loading: Loading | null;
  strategies: Record<string, Record<string, unknown>>;
}

/** How the loading of another model gets on, or why it failed. */
export interface Loading {
  name: string;
  message: string;
  error: string | null;
}

/** A model that can be loaded. */
export interface Candidate {
  name: string;
  about: string;
  bytes: number;
  /** Whether its files are there; if not, they are fetched first. */
  here: boolean;
  /** Whether it is behind the servers that the program was started with. */
  engine: boolean;
}

/** A text as it is, or a conversation for the model's chat template. */
export type Prompt = { prompt: string } | { messages: Message[]; chat_template_kwargs?: Record<string, unknown> };

export type NewRun = Prompt & {
  strategy?: string;
  parameters?: Record<string, unknown>;
  max_nodes?: number;
  max_seconds?: number;
  watch?: string[];
};

export interface RankedToken {
  id: number;
  text: string;
  logprob: number;
  rank: number;
}

/** What the server said was wrong. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

async function call(method: string, path: string, body?: unknown): Promise<Response> {
  const init: RequestInit = { method };
  if (body instanceof Blob) init.body = body;
  else if (body !== undefined) {
    init.body = JSON.stringify(body);
    init.headers = { 'content-type': 'application/json' };
  }
  let response: Response;
  try {
    response = await send(path.startsWith('/v1/') ? path : `/api/v1${path}`, init);
  } catch {
    throw new ApiError(0, 'the server cannot be reached: is it running?');
  }
  if (response.ok) return response;
  const problem = (await response.json().catch(() => ({}))) as { detail?: string; error?: { message?: string } };
  throw new ApiError(response.status, problem.detail ?? problem.error?.message ?? response.statusText);
}

const json = async <T>(method: string, path: string, body?: unknown): Promise<T> =>
  (await call(method, path, body)).json() as Promise<T>;
const at = (id: string) => `/runs/${encodeURIComponent(id)}`;

export const server = () => json<ServerInfo>('GET', '/server');
export const models = () => json<Candidate[]>('GET', '/models');
export const load = (name: string) => json<Loading>('PUT', '/model', { name });
export const tokenize = (prompt: Prompt) =>
  json<{ id: number; text: string; special: boolean }[]>('POST', '/tokenize', prompt);
export const list = () => json<Info[]>('GET', '/runs');
export const start = (run: NewRun) => json<Info>('POST', '/runs', run);
export const info = (id: string) => json<Info>('GET', at(id));
export const rename = (id: string, name: string) => json<Info>('PATCH', at(id), { name });
export const remove = (id: string) => call('DELETE', at(id));
export const act = (id: string, action: 'pause' | 'resume' | 'stop' | 'duplicate') =>
  json<Info>('POST', `${at(id)}/${action}`);
export const expand = (id: string, what: { nodes: number[]; token?: number; steps?: number; max_nodes?: number }) =>
  json<{ nodes: number[] }>('POST', `${at(id)}/expand`, what);
export const distribution = (id: string, node: number, search: string, offset: number) =>
  json<{ tokens: RankedToken[]; total: number; exactness: 'exact' | 'lower_bound' }>(
    'GET',
    `${at(id)}/nodes/${node}/distribution?offset=${offset}&limit=50&search=${encodeURIComponent(search)}`,
  );
/** What each layer says after a node, of the two likeliest tokens and of `token`. */
export const layers = (id: string, node: number, token: number | null) =>
  json<Layers>('GET', `${at(id)}/nodes/${node}/layers${token === null ? '' : `?token=${token}`}`);
/** Where the decision curve of the path to a node comes from. */
export const decisionOf = (id: string, node: number, asked: Record<string, string>) =>
  `${at(id)}/nodes/${node}/decide?${new URLSearchParams(asked)}`;
/** Where the comparison of the path to a node with another run's prompt comes from. */
export const comparisonOf = (id: string, node: number, other: string) =>
  `${at(id)}/nodes/${node}/compare?${new URLSearchParams({ with: other })}`;
export const streamOf = (path: string) => `/api/v1${path}`;
/** Why a stream did not begin, or broke off: its source does not say. */
export async function refusal(path: string): Promise<string> {
  try {
    await (await call('GET', path)).body?.cancel();
    return 'the server broke off: try again';
  } catch (e) {
    return (e as Error).message;
  }
}
export const content = async (id: string) => (await call('GET', `${at(id)}/content`)).text();
/** Gives a file to the server; `notes`: what it read differently from how it is written, or does not have. */
export const take = (name: string, file: Blob) =>
  json<Info & { notes: string[] }>('POST', `/import?name=${encodeURIComponent(name)}`, file);
export const eventsOf = (id: string, from: number) => `/api/v1${at(id)}/events?from=${from}`;
export const report = async (id: string) => (await call('GET', `${at(id)}/export/html`)).text();
export const exportOf = (id: string, format: string) => `/api/v1${at(id)}/export/${format}`;
/** A text's own tokens with their logprobs, as OpenAI's API gives them. */
export const echo = (prompt: string) =>
  json<unknown>('POST', '/v1/completions', { prompt, max_tokens: 0, echo: true, logprobs: 5 });
/** The same of exactly these tokens. */
export const echoTokens = (prompt: number[]) =>
  json<unknown>('POST', '/v1/completions', { prompt, max_tokens: 0, echo: true, logprobs: 5 });
export const contentOf = (id: string) => `/api/v1${at(id)}/content`;
