// Logprobs records: a card for every line of the file.

import { useId, useMemo, useRef, useState } from 'preact/hooks';
import { colourAt } from '../lib/colours';
import { bits, count, fixed } from '../lib/numbers';
import { type Card, type LogprobsRecord, totals } from '../lib/records';
import { scheme } from '../state/prefs';
import type { RecordsDocument } from '../state/store';
import { harmless } from '../lib/visible';
import { Comparison } from './records/Comparison';
import { meanEntropy, pages } from './records/numbers';
import { Tip } from './records/Tip';
import { type Pointed, Tokens } from './records/Tokens';
import './records.css';

export function RecordsView({ document }: { document: RecordsDocument }) {
  // Another file is another view: on its first page.
  return <Pages key={document.key} document={document} />;
}

function Pages({ document }: { document: RecordsDocument }) {
  const { cards, bad, notes } = document;
  const starts = useMemo(() => pages(cards), [cards]);
  const [wanted, setPage] = useState(0);
  const [pointed, setPointed] = useState<Pointed | null>(null);
  const tip = useId();
  const top = useRef<HTMLElement>(null);
  // The file may have been opened again, and be shorter.
  const page = Math.max(0, Math.min(wanted, starts.length - 1));
  const [from, to] = [starts[page] ?? 0, starts[page + 1] ?? cards.length];
  const told = cards.filter((c) => 'error' in c).length;

  const turn = (to: number) => {
    setPointed(null);
    setPage(to);
    top.current?.scrollTo({ top: 0 });
  };
  const goTo = (line: number) => {
    const card = cards.findIndex((c) => c.line === line);
    turn(starts.findLastIndex((s) => s <= card));
    // When the page is there.
    setTimeout(() => {
      const article = top.current?.querySelector<HTMLElement>(`[data-line="${line}"]`);
      article?.focus({ preventScroll: true });
      article?.scrollIntoView();
    });
  };
  // Focus scrolls to its token: what is said of it moves along. What the mouse has left behind goes away.
  const scrolled = () => setPointed((p) => (p && p.element === globalThis.document.activeElement ? { ...p } : null));
  return (
    <section
      ref={top}
      class="records"
      aria-label={`Records of ${document.name}`}
      onKeyDown={(e) => {
        if (e.key === 'Escape') setPointed(null);
      }}
      onScroll={scrolled}
    >
      <header class="records-head">
        <h2>{harmless(document.name)}</h2>
        <span>
          {count(cards.length - told, 'response')}
          {bad > 0 && `, ${count(bad, 'bad line')}`}
        </span>
        <Legend />
        {starts.length > 1 && (
          <nav class="records-pages" aria-label="Pages of responses">
            <button type="button" disabled={page === 0} onClick={() => turn(page - 1)}>
              Previous
            </button>
            <span aria-live="polite">
              Page {page + 1} of {starts.length}
            </span>
            <button type="button" disabled={page === starts.length - 1} onClick={() => turn(page + 1)}>
              Next
            </button>
          </nav>
        )}
      </header>
      {notes.map((note) => (
        <p key={note}>{note}</p>
      ))}
      <Comparison cards={cards} onGo={goTo} />
      {cards.slice(from, to).map((card) => (
        <CardView key={card.line} card={card} tip={tip} onPoint={setPointed} />
      ))}
      {bad > told && to === cards.length && <p>And {count(bad - told, 'more line')} that are no records.</p>}
      {cards.length === 0 && <p>The file has no records.</p>}
      <Tip id={tip} pointed={pointed} />
    </section>
  );
}

function Legend() {
  const stops = Array.from({ length: 11 }, (_, i) => colourAt(i / 10, scheme.value)).join(', ');
  return (
    <span class="records-legend">
      100 % <span class="records-scale" style={{ background: `linear-gradient(to right, ${stops})` }} /> 0 % probability
    </span>
  );
}

interface CardProps {
  card: Card;
  tip: string;
  onPoint(pointed: Pointed | null): void;
}

function CardView({ card, tip, onPoint }: CardProps) {
  if ('record' in card) return <RecordCard record={card.record} line={card.line} tip={tip} onPoint={onPoint} />;
  return (
    <article class="record record-bad">
      <h3>Line {card.line} is not a record</h3>
      <p>{harmless(card.error)}</p>
      <pre>{harmless(card.start)}</pre>
    </article>
  );
}

type RecordProps = Omit<CardProps, 'card'> & { record: LogprobsRecord; line: number };

function RecordCard({ record, line, tip, onPoint }: RecordProps) {
  const sums = useMemo(() => ({ ...totals(record), entropy: meanEntropy(record) }), [record]);
  return (
    <article class="record" data-line={line} tabIndex={-1}>
      <h3>Line {line}</h3>
      <p class="record-prompt" dir="auto">
        {harmless(record.prompt)}
      </p>
      {record.data.length > 0 ? (
        <Tokens data={record.data} label={`Response of line ${line}, by token`} tip={tip} onPoint={onPoint} />
      ) : (
        <p class="record-plain">{harmless(record.response) || '(no tokens)'}</p>
      )}
      <dl class="record-totals">
        <Total name="Tokens" value={sums.tokens.toLocaleString('en')} />
        <Total name="Total" value={bits(sums.bits)} />
        <Total name="Mean surprisal" value={bits(sums.tokens > 0 ? sums.bits / sums.tokens : Number.NaN)} />
        <Total name="Perplexity" value={fixed(sums.perplexity, 2)} />
        <Total name="Mean entropy" value={Number.isNaN(sums.entropy) ? '–' : `≥ ${bits(sums.entropy)}`} />
      </dl>
    </article>
  );
}

function Total({ name, value }: { name: string; value: string }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  );
}
