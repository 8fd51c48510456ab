// What is drawn on a canvas, as SVG: the drawing functions of a view make a picture for papers too.

import { escaped } from './svg';

/** What the drawing functions use of a canvas. */
export type Surface = Pick<
  CanvasRenderingContext2D,
  | 'arc'
  | 'beginPath'
  | 'bezierCurveTo'
  | 'fill'
  | 'fillRect'
  | 'fillStyle'
  | 'fillText'
  | 'font'
  | 'globalAlpha'
  | 'lineJoin'
  | 'lineTo'
  | 'lineWidth'
  | 'measureText'
  | 'moveTo'
  | 'roundRect'
  | 'stroke'
  | 'strokeStyle'
  | 'strokeText'
  | 'textAlign'
  | 'textBaseline'
>;

const short = (x: number): string => String(Math.round(x * 100) / 100);
const ANCHORS: Record<string, string> = { right: 'end', end: 'end', center: 'middle' };

export class SvgCanvas implements Surface {
  fillStyle: string | CanvasGradient | CanvasPattern = '#000';
  strokeStyle: string | CanvasGradient | CanvasPattern = '#000';
  font = '12px sans-serif';
  globalAlpha = 1;
  lineJoin: CanvasLineJoin = 'miter';
  lineWidth = 1;
  textAlign: CanvasTextAlign = 'left';
  textBaseline: CanvasTextBaseline = 'alphabetic';
  private readonly parts: string[] = [];
  private path: string[] = [];

  constructor(
    private readonly width: number,
    private readonly height: number,
    private readonly measure: (text: string, font: string) => TextMetrics,
  ) {}

  beginPath(): void {
    this.path = [];
  }
  moveTo(x: number, y: number): void {
    this.path.push(`M${short(x)} ${short(y)}`);
  }
  lineTo(x: number, y: number): void {
    this.path.push(`L${short(x)} ${short(y)}`);
  }
  bezierCurveTo(ax: number, ay: number, bx: number, by: number, x: number, y: number): void {
    this.path.push(`C${[ax, ay, bx, by, x, y].map(short).join(' ')}`);
  }
  /** Whole circles only. */
  arc(x: number, y: number, r: number): void {
    const turn = `A${short(r)} ${short(r)} 0 1 1`;
    this.path.push(
      `M${short(x + r)} ${short(y)}${turn} ${short(x - r)} ${short(y)}${turn} ${short(x + r)} ${short(y)}`,
    );
  }
  roundRect(x: number, y: number, w: number, h: number, radii?: unknown): void {
    const r = short(typeof radii === 'number' ? radii : 0);
    const corner = (dx: number, dy: number) => `a${r} ${r} 0 0 1 ${short(dx)} ${short(dy)}`;
    const k = Number(r);
    this.path.push(
      `M${short(x + k)} ${short(y)}h${short(w - 2 * k)}${corner(k, k)}v${short(h - 2 * k)}${corner(-k, k)}h${short(2 * k - w)}${corner(-k, -k)}v${short(2 * k - h)}${corner(k, -k)}z`,
    );
  }
  fill(): void {
    this.put(`<path d="${this.path.join('')}" ${this.paint()}/>`);
  }
  stroke(): void {
    if (this.path.length > 0) this.put(`<path d="${this.path.join('')}" fill="none" ${this.line()}/>`);
  }
  fillRect(x: number, y: number, w: number, h: number): void {
    this.put(`<rect x="${short(x)}" y="${short(y)}" width="${short(w)}" height="${short(h)}" ${this.paint()}/>`);
  }
  fillText(text: string, x: number, y: number): void {
    this.write(text, x, y, this.paint());
  }
  strokeText(text: string, x: number, y: number): void {
    this.write(text, x, y, `fill="none" ${this.line()}`);
  }
  measureText(text: string): TextMetrics {
    return this.measure(text, this.font);
  }

  /** The picture. */
  svg(): string {
    const [w, h] = [Math.ceil(this.width), Math.ceil(this.height)];
    return [
      `<svg xmlns="http://www.w3.org/2000/svg" width="${w}" height="${h}" viewBox="0 0 ${w} ${h}">`,
      ...this.parts,
      '</svg>',
    ].join('\n');
  }

  private write(text: string, x: number, y: number, paint: string): void {
    const [size, family] = [this.font.split(' ')[0]!, this.font.slice(this.font.indexOf(' ') + 1)];
    const middle = this.textBaseline === 'middle' ? ' dominant-baseline="central"' : '';
    const anchor = ANCHORS[this.textAlign];
    this.put(
      `<text x="${short(x)}" y="${short(y)}" font-size="${size}" font-family="${escaped(family)}"${middle}${anchor ? ` text-anchor="${anchor}"` : ''} xml:space="preserve" ${paint}>${escaped(text)}</text>`,
    );
  }
  private paint(): string {
    return `fill="${escaped(String(this.fillStyle))}"`;
  }
  private line(): string {
    return `stroke="${escaped(String(this.strokeStyle))}" stroke-width="${short(this.lineWidth)}" stroke-linejoin="${this.lineJoin}"`;
  }
  private put(part: string): void {
    this.parts.push(
      this.globalAlpha < 1 ? part.replace(/\/?>/, (end) => ` opacity="${this.globalAlpha}"${end}`) : part,
    );
  }
}
