// Times as people say them.

const DAY = 86_400_000;

/** When something was: today's times without their day. */
export function when(iso: string, now = new Date()): string {
  const t = new Date(iso);
  if (Number.isNaN(t.getTime())) return '';
  const time = t.toLocaleTimeString('en-GB', { hour: '2-digit', minute: '2-digit' });
  if (t.toDateString() === now.toDateString()) return time;
  if (t.toDateString() === new Date(now.getTime() - DAY).toDateString()) return `yesterday ${time}`;
  const date = t.toLocaleDateString('en-GB', { day: 'numeric', month: 'short' });
  return t.getFullYear() === now.getFullYear() ? `${date} ${time}` : `${date} ${t.getFullYear()}`;
}
