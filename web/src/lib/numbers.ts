// Numbers as text.

/** A probability as a percentage with enough digits to be read. */
export function percent(p: number): string {
  if (Number.isNaN(p)) return '–';
  const x = p * 100;
  if (x >= 99.995) return '100 %';
  if (x >= 10) return `${x.toFixed(1)} %`;
  if (x >= 0.01) return `${x.toFixed(2)} %`;
  if (x >= 0.0001) return `${x.toPrecision(2)} %`;
  return x > 0 ? `${x.toExponential(0)} %` : '0 %';
}

export const fixed = (x: number, digits = 3): string =>
  Number.isNaN(x) ? '–' : Number.isFinite(x) ? x.toFixed(digits) : x > 0 ? '∞' : '−∞';

export const bits = (x: number): string => (Number.isNaN(x) ? '–' : `${fixed(x, x < 10 ? 2 : 1)} bits`);

export const count = (n: number, one: string, many = `${one}s`): string =>
  `${n.toLocaleString('en')} ${n === 1 ? one : many}`;

/** Whitespace and control characters made visible. */
export function visible(text: string): string {
  return text.replace(/\n/g, '⏎').replace(/\t/g, '⇥').replace(/\r/g, '␍').replace(/ /g, '·');
}
