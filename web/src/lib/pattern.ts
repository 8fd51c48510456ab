// A regular expression tried on a text.

/** Longest text a pattern is tried on. */
export const MAX_TEXT = 5000;

export interface Tried {
  /** The pattern's first group, or all of the match; null where there is none. */
  answer: string | null;
  /** The text was too long to be certain: what was left out may hold a match, or lengthen it. */
  unsure: boolean;
}

export function tryPattern(pattern: RegExp, text: string): Tried {
  const found = pattern.exec(text.slice(0, MAX_TEXT));
  return {
    answer: found ? (found[1] ?? found[0]) : null,
    unsure: text.length > MAX_TEXT && (!found || found.index + found[0].length >= MAX_TEXT),
  };
}
