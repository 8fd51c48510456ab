// What each layer of a model would have predicted at a place, as the server tells it: which layer decides, and between which tokens.

import { BITS } from './metrics';

/** What a layer says of a token. */
export interface LayerToken {
  /** In nats. */
  logprob: number;
  /** 1 is the most likely token. */
  rank: number;
  /** What the layer adds to the token's logit. */
  part: number;
}

export interface Layer {
  best: { id: number; text: string };
  /** Of its most likely token, in nats. */
  logprob: number;
  /** In the order of `Layers.tokens`. */
  tokens: LayerToken[];
}

export interface Layers {
  /** The layer from which on the model's most likely token stays the most likely one; 0 is the embedding. */
  decided: number;
  /** The most likely token, the runner-up, then the one that was asked for, each once. */
  tokens: { id: number; text: string; logit: number; rest: number }[];
  /** The embedding, then every layer. */
  layers: Layer[];
}

/** Places in `tokens` of the two that are set against each other: the one that stands there, else the likeliest, and its strongest rival. */
export function rivals({ tokens }: Layers, here: number | null): [chosen: number, rival: number] {
  const chosen = Math.max(
    0,
    tokens.findIndex((t) => t.id === here),
  );
  return [chosen, chosen === 0 ? 1 : 0];
}

/** How far the first of two tokens is ahead of the second after each layer, in bits. */
export const leads = ({ layers }: Layers, [a, b]: [number, number]): number[] =>
  layers.map((l) => (l.tokens[a]!.logprob - l.tokens[b]!.logprob) * BITS);

/** The layer from which on the first of two tokens stays ahead of the second; null if it is not ahead at the end. */
export function aheadFrom(lead: readonly number[]): number | null {
  let at = lead.length;
  while (at > 0 && lead[at - 1]! > 0) at--;
  return at < lead.length ? at : null;
}

/** The layer that does most for the first of two tokens, and how much it adds to the difference of their logits. */
export function strongest({ layers }: Layers, [a, b]: [number, number]): { layer: number; part: number } {
  const parts = layers.map((l) => l.tokens[a]!.part - l.tokens[b]!.part);
  const part = Math.max(...parts);
  return { layer: parts.indexOf(part), part };
}

/** A layer's name: the first is none. */
export const layerName = (layer: number): string => (layer === 0 ? 'the embedding' : `layer ${layer}`);
