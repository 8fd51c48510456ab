// What the drawing functions are given.

import { colourAt } from '../../lib/colours';
import type { TreeLayout } from '../../lib/layout/tree';
import type { Run } from '../../lib/run';
import type { Camera } from './camera';
import type { Theme } from './theme';
import type { Labels } from './words';

export interface Scenery {
  run: Run;
  layout: TreeLayout;
  /** Colour of each segment: 0 … 100, or UNKNOWN. */
  shade: Uint8Array;
  theme: Theme;
}

export interface Picture extends Scenery {
  camera: Camera;
  width: number;
  height: number;
  labels: Labels;
  /** Indices of segments; NONE where there is none. */
  pathEnd: number;
  selected: number;
  hovered: number;
  currentHit: number;
  /** 1 for each segment that the search found. */
  hits: Uint8Array | null;
}

export const UNKNOWN = 255;
/** The prompt has no probability, and no colour of the scale. */
export const PROMPT = 254;
/** What the sampler cuts has no colour either. */
export const CUT = 253;

/** Place on the colour scale. */
export const scaleOf = (shade: number): number => (shade === UNKNOWN ? Number.NaN : shade / 100);
const fillOf = (shade: number, theme: Theme): string =>
  shade === PROMPT ? theme.raised : shade === CUT ? theme.bg : colourAt(scaleOf(shade));
const FILLS = new Map<string, string[]>();

/** Fill styles of all shades. */
export function fills(theme: Theme): string[] {
  let all = FILLS.get(theme.raised);
  if (!all) {
    all = Array.from({ length: 256 }, (_, s) => fillOf(s, theme));
    FILLS.set(theme.raised, all);
  }
  return all;
}

export const promptShade = (shade: Uint8Array): void => {
  if (shade.length > 0) shade[0] = PROMPT;
};
