// A regular expression tried on a text.

/** Longest text a pattern is tried on. */
export const MAX_TEXT = 5000;

export interface Tried {
  /** The pattern's first group, or all of the match; null where there is none. */
  answer: string | null;
  /** The text was too long to be certain: what was left out may hold a match, or lengthen it. */
  unsure: boolean;
  /** From so many characters on the answer stays the same, whatever text follows; infinite if it may change. */
  settledAt: number;
}

export function tryPattern(pattern: RegExp, text: string): Tried {
  const found = pattern.exec(text.slice(0, MAX_TEXT));
  return {
    answer: found ? (found[1] ?? found[0]) : null,
    // Another match would begin no later, and would need text that is not there yet: it would have to be longer than any can be.
    settledAt: settledAt(found, pattern, text.length),
    unsure: text.length > MAX_TEXT && (!found || found.index + found[0].length >= MAX_TEXT),
  };
}

/** What the match, and those that could have begun before it, have looked at, and one character more; infinite if the text does not have it. */
function settledAt(found: RegExpExecArray | null, pattern: RegExp, length: number): number {
  const end = found === null ? Number.POSITIVE_INFINITY : found.index + span(pattern.source) + 1;
  return end <= length ? end : Number.POSITIVE_INFINITY;
}

/** Characters from its beginning on that a match of a pattern looks at, at most, with what it looks ahead to; infinite where it may go on for ever. */
export function span(source: string): number {
  // For each open group: the longest alternative before, and the one that is being read.
  const groups: [most: number, now: number, back?: boolean][] = [[0, 0]];
  const add = (n: number) => {
    groups.at(-1)![1] += n;
  };
  const close = (): number => {
    const [most, now, back] = groups.pop() ?? [0, 0];
    // What is behind has been there before.
    return back ? 0 : Math.max(most, now);
  };
  for (let i = 0; i < source.length; i++) {
    const c = source[i]!;
    if (c === '*' || c === '+' || c === '{') return Number.POSITIVE_INFINITY;
    if (c === '\\') {
      // A reference to a group is as long as the group.
      if (/[1-9k]/.test(source[i + 1] ?? '')) return Number.POSITIVE_INFINITY;
      const braces = /^\\[pPu]\{[^}]*\}/.exec(source.slice(i, i + 80));
      i += braces ? braces[0].length - 1 : 1;
      add(2);
    } else if (c === '[') {
      const from = i;
      for (i++; i < source.length && source[i] !== ']'; i++) if (source[i] === '\\') i++;
      // A character beyond the first 65,536 is two code units long.
      add(/[\ud800-\udfff^\\]/.test(source.slice(from, i)) ? 2 : 1);
    } else if (c === '(') {
      const kind = /^\((\?(:|=|!|<=|<!|<[^>]*>))?/.exec(source.slice(i, i + 80));
      i += (kind?.[0].length ?? 1) - 1;
      groups.push([0, 0, kind?.[1]?.startsWith('?<=') === true || kind?.[1]?.startsWith('?<!') === true]);
    } else if (c === ')') add(close());
    else if (c === '|') {
      const group = groups.at(-1)!;
      [group[0], group[1]] = [Math.max(group[0], group[1]), 0];
    } else if (c !== '?') add(1);
  }
  while (groups.length > 1) add(close());
  return close();
}

const quoted = (text: string): string => text.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&');

const eitherCase = (letter: string): string => {
  const both = [letter.toLowerCase(), letter.toUpperCase()];
  // Some letters become two.
  return both.every((l) => Array.from(l).length === 1) ? `[${both.join('')}]` : quoted(letter);
};

/** The choices of a list, the longest first, so that "New Delhi" is not taken for "New". */
export function choicesOf(list: string): string[] {
  const choices = [...new Set(list.split(/[,\n]/).map((c) => c.trim()))].filter((c) => c !== '');
  return choices.sort((a, b) => b.length - a.length);
}

/**
 * The pattern that a list of choices is: the first of them in the text, as a word of its own where it is made of letters. Small and capital
 * letters are alike.
 */
export function patternOfChoices(list: string): string {
  const choices = choicesOf(list);
  if (choices.length === 0) return '';
  const word = (c: string) => {
    const before = BEGINS.test(c) ? '(?<![\\p{L}\\p{N}_])' : '';
    const letters = Array.from(c, (l) => (l.toLowerCase() === l.toUpperCase() ? quoted(l) : eitherCase(l))).join('');
    return `${before}${letters}${ENDS.test(c) ? '(?![\\p{L}\\p{N}_])' : ''}`;
  };
  return `(${choices.map(word).join('|')})`;
}

const BEGINS = /^[\p{L}\p{N}_]/u;
const ENDS = /[\p{L}\p{N}_]$/u;

/**
 * The same for the server, whose expressions look neither ahead nor behind: what stands around the word is part of the match, and the group
 * is the answer. Where a choice begins or ends with a sign, no choice needs the border of a word there.
 */
export function serversPatternOfChoices(list: string): string {
  const choices = choicesOf(list);
  if (choices.length === 0) return '';
  const before = choices.every((c) => BEGINS.test(c)) ? '(?:^|[^\\p{L}\\p{N}_])' : '';
  const after = choices.every((c) => ENDS.test(c)) ? '(?:[^\\p{L}\\p{N}_]|$)' : '';
  return `(?i)${before}(${choices.map(quoted).join('|')})${after}`;
}
