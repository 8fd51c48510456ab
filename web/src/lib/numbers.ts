// Numbers as text.

const RAISED = '⁰¹²³⁴⁵⁶⁷⁸⁹';
const raised = (n: number): string =>
  (n < 0 ? '⁻' : '') + Array.from(String(Math.abs(n)), (d) => RAISED[Number(d)]).join('');

/** A probability as a percentage with enough digits to be read. */
export function percent(p: number): string {
  if (Number.isNaN(p)) return '–';
  const x = p * 100;
  if (x >= 99.995) return p < 1 ? '> 99.99 %' : '100 %';
  if (x >= 10) return `${x.toFixed(1)} %`;
  if (x >= 0.01) return `${x.toFixed(2)} %`;
  if (x >= 0.0001) return `${x.toPrecision(2)} %`;
  if (x <= 0) return '0 %';
  const [digits, power] = x.toExponential(0).split('e');
  return `${digits === '1' ? '' : `${digits}·`}10${raised(Number(power))} %`;
}

/** A share of a whole that is told at a glance: what is next to nothing, or next to all, is called so. */
export function share(p: number): string {
  if (p > 0 && p < 0.0001) return '< 0.01 %';
  if (p < 1 && p > 0.9999) return '> 99.99 %';
  return percent(Math.max(0, p));
}

export const fixed = (x: number, digits = 3): string =>
  Number.isNaN(x) ? '–' : Number.isFinite(x) ? x.toFixed(digits) : x > 0 ? '∞' : '−∞';

/** Bits without their unit. */
export const bare = (x: number): string => {
  if (!Number.isFinite(x)) return fixed(x);
  return x < 10 ? x.toFixed(2) : x.toLocaleString('en', { minimumFractionDigits: 1, maximumFractionDigits: 1 });
};

export const bits = (x: number): string => (Number.isNaN(x) ? '–' : `${bare(x)} bits`);

export const count = (n: number, one: string, many = `${one}s`): string =>
  `${n.toLocaleString('en')} ${n === 1 ? one : many}`;

/** A time to wait, as people say it. */
export function duration(seconds: number): string {
  const s = Math.max(1, Math.ceil(seconds));
  if (s < 100) return `${s} s`;
  if (s < 6000) return `${Math.round(s / 60)} min`;
  return `${Math.round(s / 3600)} h`;
}
