// A text of coloured tokens as a picture, for papers and slides.

import { cells } from './layout/cells';

export interface Span {
  text: string;
  /** CSS colours. */
  fill: string | null;
  ink: string;
  title: string;
}

const CELL = 8.4;
const LINE = 26;
const FONT = 14;
const PAD = 20;
/** Cells of a line. */
const COLUMNS = 90;

/** Characters that mean something in XML, and those it does not have. */
export const escaped = (text: string): string =>
  text
    .replace(/(?![\t\n\r])[\p{Cc}\p{Cs}\ufffe\uffff]/gu, '\ufffd')
    .replace(/&/g, '&amp;')
    .replace(/</g, '&lt;')
    .replace(/>/g, '&gt;')
    .replace(/"/g, '&quot;');

/** Tokens in lines; a line breaks before a token that has no room, and within one that is longer than a line. */
export function textSvg(
  spans: Span[],
  { ground, foot }: { ground: string; foot: { text: string; ink: string } },
): string {
  const parts: string[] = [];
  let [x, line, widest] = [0, 0, 0];
  const put = (s: Span, text: string) => {
    const width = cells(text);
    const [px, py] = [PAD + x * CELL, PAD + line * LINE];
    if (s.fill !== null)
      parts.push(
        `<rect x="${px.toFixed(1)}" y="${py}" width="${(width * CELL).toFixed(1)}" height="${LINE - 4}" rx="2" fill="${s.fill}"><title>${escaped(s.title)}</title></rect>`,
      );
    parts.push(
      `<text x="${px.toFixed(1)}" y="${py + 16}" textLength="${(width * CELL).toFixed(1)}" lengthAdjust="spacingAndGlyphs" fill="${s.ink}" xml:space="preserve">${escaped(text)}</text>`,
    );
    x += width;
    widest = Math.max(widest, x);
  };
  const feed = () => {
    x = 0;
    line++;
  };
  for (const s of spans) {
    for (const [i, row] of s.text.split('\n').entries()) {
      if (i > 0) feed();
      let rest = Array.from(row);
      if (x > 0 && x + cells(row) > COLUMNS) feed();
      while (rest.length > 0) {
        const part = rest.slice(0, COLUMNS);
        rest = rest.slice(COLUMNS);
        put(s, part.join(''));
        if (rest.length > 0) feed();
      }
    }
  }
  const [width, height] = [2 * PAD + Math.max(40, widest) * CELL, 2 * PAD + (line + 2) * LINE];
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width.toFixed(0)}" height="${height}" viewBox="0 0 ${width.toFixed(0)} ${height}" font-family="ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace" font-size="${FONT}">`,
    `<rect width="100%" height="100%" fill="${ground}"/>`,
    ...parts,
    `<text x="${PAD}" y="${height - PAD}" font-size="11" fill="${foot.ink}">${escaped(foot.text)}</text>`,
    '</svg>',
  ].join('\n');
}
