// Tokens of a path as they are shown: characters that are split over tokens are whole at the last of them.

import { harmless, visible } from './visible';
import { type Run, State } from './run';

export interface Piece {
  node: number;
  /** What is shown. */
  text: string;
  /** What it is called. */
  name: string;
}

/** The mark of a token that is a part of a character yet to come. */
export const PART = '▪';

/** Bytes of a UTF-8 character that begins with this one; 0 if none does. */
const lengthOf = (byte: number): number =>
  byte < 0x80
    ? 1
    : byte >= 0xc2 && byte < 0xe0
      ? 2
      : byte >= 0xe0 && byte < 0xf0
        ? 3
        : byte >= 0xf0 && byte < 0xf5
          ? 4
          : 0;

export function pieces(run: Run, nodes: number[], marks: boolean): Piece[] {
  let open: number[] = [];
  return nodes.map((node) => {
    const id = run.token.get(node);
    const isEnd = run.state.get(node) === State.EndToken;
    let text = run.text(id);
    if (run.isPart(id)) {
      const bytes = [...open, ...run.bytes(id)];
      // What is not whole yet waits for the next token.
      let whole = bytes.length;
      for (let i = Math.max(0, bytes.length - 3); i < bytes.length; i++) {
        const need = lengthOf(bytes[i] as number);
        if (need > 1 && i + need > bytes.length) {
          whole = i;
          break;
        }
      }
      open = bytes.slice(whole);
      text = new TextDecoder().decode(Uint8Array.from(bytes.slice(0, whole)));
      if (text === '') return { node, text: PART, name: 'part of a character' };
    } else {
      open = [];
    }
    // The variant selector keeps the sign from becoming a coloured picture.
    if (isEnd) return { node, text: marks ? visible(text) : '⏹\ufe0e', name: `end token ${harmless(text)}` };
    if (text === '') return { node, text: '∅', name: 'a token without text' };
    const name = text.trim() === '' ? visible(text) : harmless(text);
    // Line feeds still break lines when they are marked.
    return { node, text: marks ? visible(text).replaceAll('⏎', '⏎\n') : harmless(text), name };
  });
}
