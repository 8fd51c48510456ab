// Characters that cannot be seen, or that act on the page's own text, as something to be seen.

/** Names of characters that turn the direction of text, join or break lines, or have no width. */
const NAMES: Record<string, string> = {
  '\u00ad': 'SHY',
  '\u034f': 'CGJ',
  '\u061c': 'ALM',
  '\u115f': 'HCF',
  '\u1160': 'HJF',
  '\u180e': 'MVS',
  '\u200b': 'ZWSP',
  '\u200c': 'ZWNJ',
  '\u200d': 'ZWJ',
  '\u200e': 'LRM',
  '\u200f': 'RLM',
  '\u2028': 'LS',
  '\u2029': 'PS',
  '\u202a': 'LRE',
  '\u202b': 'RLE',
  '\u202c': 'PDF',
  '\u202d': 'LRO',
  '\u202e': 'RLO',
  '\u2060': 'WJ',
  '\u2061': 'FA',
  '\u2062': 'IT',
  '\u2063': 'IS',
  '\u2064': 'IP',
  '\u2066': 'LRI',
  '\u2067': 'RLI',
  '\u2068': 'FSI',
  '\u2069': 'PDI',
  '\u3164': 'HF',
  '\ufeff': 'BOM',
  '\uffa0': 'HHF',
};

const HIDDEN = new RegExp(`[${Object.keys(NAMES).join('')}]`, 'g');
const CONTROLS = /(?![\t\n\r])\p{Cc}/gu;
/** Joiners that make one sign of two do what they are there for. */
const JOINED =
  /(?<=\p{Extended_Pictographic}|\p{L}|\p{M}|\p{Emoji_Modifier}|\ufe0f)[\u200c\u200d](?=\p{Extended_Pictographic}|\p{L}|\p{M})/gu;
/** Stands for a joiner while the others are named. */
const KEPT = '\ue000';

const nameOf = (c: string): string => `‹${NAMES[c]}›`;

/** The picture of a control character; those of the second set have none but their number. */
function picture(c: string): string {
  const code = c.charCodeAt(0);
  if (code === 0x7f) return '␡';
  return code < 0x20 ? String.fromCharCode(0x2400 + code) : `‹${code.toString(16).padStart(2, '0').toUpperCase()}›`;
}

/** Text that acts on nothing: what turns it, breaks its lines or cannot be seen is named. Line feeds and tabs stay. */
export function harmless(text: string): string {
  HIDDEN.lastIndex = 0;
  if (!HIDDEN.test(text)) return text.replace(CONTROLS, picture);
  const joiners: string[] = [];
  const guarded = text.replaceAll(KEPT, '\ufffd').replace(JOINED, (c) => {
    joiners.push(c);
    return KEPT;
  });
  let at = 0;
  return guarded
    .replace(HIDDEN, nameOf)
    .replaceAll(KEPT, () => joiners[at++]!)
    .replace(CONTROLS, picture);
}

/** Whitespace, control characters and all that has no width made visible. */
export const visible = (text: string): string =>
  text
    .replace(HIDDEN, nameOf)
    .replace(CONTROLS, picture)
    .replace(/\n/g, '⏎')
    .replace(/\t/g, '⇥')
    .replace(/\r/g, '␍')
    .replace(/ /g, '·')
    .replace(/\u00a0/g, '⍽')
    .replace(/[\u2000-\u200a\u202f\u205f]/g, '˽')
    .replace(/\u3000/g, '⎵⎵');

/** A text as one line: line feeds and tabs are marked, since a row has no room to obey them. */
export const oneLine = (text: string, marks: boolean): string =>
  marks ? visible(text) : harmless(text).replace(/\n/g, '⏎').replace(/\t/g, '⇥').replace(/\r/g, '␍');
