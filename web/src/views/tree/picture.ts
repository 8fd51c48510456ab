// What the drawing functions are given.

import { css, faded, inkFor, type Rgb, type Scheme, scale } from '../../lib/colours';
import type { TreeLayout } from '../../lib/layout/tree';
import type { Run } from '../../lib/run';
import type { Camera } from './camera';
import type { Theme } from './theme';
import type { Labels } from './words';

export interface Scenery {
  run: Run;
  layout: TreeLayout;
  /** Colour of each segment: of `shadeOf`, or one of those below. */
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

/** Steps of the scale, and of how much it fades. */
const LEVELS = 30;
const FADES = 7;
export const UNKNOWN = 255;
/** The prompt has no probability, and no colour of the scale. */
export const PROMPT = 254;
/** What the sampler cuts has no colour either. */
export const CUT = 253;

/** A level on the scale and the strength it is drawn with, as one byte. */
export const shadeOf = (t: number, strength: number): number =>
  Number.isNaN(t) ? UNKNOWN : Math.round(t * LEVELS) + (LEVELS + 1) * Math.round(strength * FADES);

/** The colour of a shade. */
function rgbOf(shade: number, scheme: Scheme): Rgb {
  if (shade === UNKNOWN) return scale(Number.NaN, scheme);
  return faded((shade % (LEVELS + 1)) / LEVELS, scheme, Math.floor(shade / (LEVELS + 1)) / FADES);
}
const fillOf = (shade: number, theme: Theme): string =>
  shade === PROMPT ? theme.raised : shade === CUT ? theme.bg : css(rgbOf(shade, theme.scheme));

/** The ink for text on a shade. */
export const inkOfShade = (shade: number, theme: Theme): string =>
  shade === PROMPT ? theme.text : shade === CUT ? theme.dim : inkFor(rgbOf(shade, theme.scheme));
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
