// The one list of what could stand at a step. Typing searches it, and the whole vocabulary where the model is there; text of several tokens is
// put in as it is.

import { useSignal } from '@preact/signals';
import { useEffect, useMemo, useRef } from 'preact/hooks';
import { percent } from '../../lib/numbers';
import { sampledStep } from '../../lib/resampled';
import { type Listed, NONE, type Run } from '../../lib/run';
import { PLAIN } from '../../lib/sampler';
import { visible } from '../../lib/visible';
import { sampledText } from '../../lib/words';
import { focusList, focusToken, takeNext } from '../../state/keys';
import { announce } from '../../state/spoken';
import * as store from '../../state/store';
import { type Found, Search } from './Search';
import { Written } from './Written';

export type Vocabulary = (node: number, query: string, offset: number) => Promise<{ tokens: Found[]; whole: boolean }>;

interface Props {
  run: Run;
  /** The node after which the tokens come. */
  step: number;
  /** The token that is there, or null. */
  here: number | null;
  live: boolean;
  onChoose: (token: number) => void;
  vocabulary?: Vocabulary;
}

export function Alternatives({ run, step, here, live, onChoose, vocabulary }: Props) {
  store.revision.value;
  // What is typed belongs to one place. It is kept with it, so that going elsewhere cannot clear what is typed there.
  const place = `${step} ${here}`;
  const typed = useSignal({ place, text: '' });
  const filter = typed.value.place === place ? typed.value.text : '';
  const type = (text: string) => {
    typed.value = { place, text };
  };
  const box = useRef<HTMLDivElement>(null);
  const input = useRef<HTMLInputElement>(null);
  const listed = run.listed(step);
  const wanted = filter.toLowerCase();
  const hits = listed.map((t, i) => ({ ...t, i })).filter((t) => run.text(t.id).toLowerCase().includes(wanted));
  const tail = useMemo(() => run.wholeText(step).slice(-1), [run, step]);

  useEffect(() => {
    if (focusList.value === 0) return;
    const it = box.current?.querySelector<HTMLElement>('[aria-selected="true"]') ?? input.current;
    it?.focus();
  }, [focusList.value]);

  const choose = (token: number, text: string, logprob: number) => {
    const inList = box.current?.contains(document.activeElement) === true;
    announce(`${visible(text)}, ${percent(Math.exp(logprob))}, chosen.`);
    type('');
    onChoose(token);
    // A key stays where it can go on: at the new token.
    if (inList) requestAnimationFrame(() => focusToken.value++);
  };
  const onKey = (e: KeyboardEvent) => {
    if (e.altKey || e.ctrlKey || e.metaKey) return;
    const active = document.activeElement as HTMLElement;
    if (e.key === 'Escape') {
      if (filter !== '') type('');
      else focusToken.value++;
      // What lies over the page is closed by the page.
      if (filter !== '' || !box.current?.closest('.sheet')) e.preventDefault();
      return;
    }
    const by = { ArrowDown: 1, ArrowUp: -1 }[e.key];
    if (by) {
      e.preventDefault();
      const all = [
        input.current,
        ...(box.current?.querySelectorAll<HTMLElement>('[role="option"]:not(:disabled)') ?? []),
      ];
      all[Math.min(all.length - 1, Math.max(0, all.indexOf(active as HTMLInputElement) + by))]?.focus();
    } else if (e.key === 'Enter' && active === input.current) {
      e.preventDefault();
      box.current?.querySelector<HTMLElement>('[role="option"]:not(:disabled)')?.click();
    } else if (e.key.length === 1 && e.key !== ' ' && active !== input.current && !store.byHand.value) {
      // Typing goes to the filter, wherever in the list the focus is.
      input.current?.focus();
    }
  };
  return (
    <div class="alternatives" ref={box} onKeyDown={onKey}>
      <input
        ref={input}
        type="search"
        placeholder={live ? 'Find any token, or write what should come' : 'Find a token of the list'}
        aria-label="Find a token, or write what should come here"
        value={filter}
        onInput={(e) => type(e.currentTarget.value)}
      />
      <div class="rows" role="listbox" aria-label="Tokens that could stand here">
        {hits.map((t) => (
          <Row
            key={t.id}
            run={run}
            listed={listed}
            token={t}
            i={t.i}
            here={t.id === here}
            live={live}
            onChoose={() =>
              store.byHand.value && here === null ? takeNext(t.i) : choose(t.id, run.text(t.id), t.logprob)
            }
          />
        ))}
        {vocabulary && filter !== '' && (
          <Search
            key={step}
            step={step}
            query={filter}
            known={new Set(listed.map((t) => t.id))}
            vocabulary={vocabulary}
            onChoose={(t) => choose(t.id, t.text, t.logprob)}
          />
        )}
      </div>
      {live && filter !== '' && <Written step={step} text={filter} afterSpace={/\s/.test(tail)} />}
      {filter === '' && <Other listed={listed} />}
      {!vocabulary && filter !== '' && hits.length === 0 && (
        <p class="other">No token of the list has this in its text.</p>
      )}
    </div>
  );
}

interface RowProps {
  run: Run;
  listed: Listed[];
  token: Listed;
  i: number;
  here: boolean;
  live: boolean;
  onChoose: () => void;
}

function Row({ run, listed, token: t, i, here, live, onChoose }: RowProps) {
  const sampler = store.sampler.value;
  const changed = sampler !== PLAIN;
  const after = useMemo(() => sampledStep(listed, sampler), [listed, sampler]);
  const p = Math.exp(t.logprob);
  const inTree = t.node !== NONE;
  const text = visible(run.text(t.id)) || '∅';
  const what = [
    `id ${t.id}`,
    bytesOf(run, t.id),
    `logprob ${t.logprob.toFixed(3)}`,
    Number.isNaN(t.rank) ? 'not among those listed at this step' : `rank ${t.rank}`,
    inTree ? 'in the tree' : live ? 'the model goes on from it' : 'not in this file',
  ];
  const classes = ['step'];
  if (here) classes.push('here');
  if (inTree) classes.push('in-tree');
  if (changed && after.probs[i] === 0) classes.push('cut');
  return (
    <button
      type="button"
      role="option"
      class={classes.join(' ')}
      aria-selected={here}
      disabled={!inTree && !live}
      title={what.filter(Boolean).join(' · ')}
      onClick={onChoose}
    >
      <span class="bar" style={{ width: `${after.probs[i]! * 100}%` }} />
      <span class="key" aria-hidden="true">
        {store.byHand.value && i < 9 ? i + 1 : here ? '▸' : inTree ? '•' : ''}
      </span>
      <span class="what">{text}</span>
      <span class="num">{percent(p)}</span>
      {changed && <span class="num">{sampledText(after, i)}</span>}
    </button>
  );
}

/** What is not listed. */
function Other({ listed }: { listed: Listed[] }) {
  const sampler = store.sampler.value;
  const changed = sampler !== PLAIN;
  const after = useMemo(() => sampledStep(listed, sampler), [listed, sampler]);
  const rest = Math.max(0, 1 - listed.reduce((sum, t) => sum + Math.exp(t.logprob), 0));
  return (
    <p class="other">
      other {percent(rest)}
      {changed && ` → ${after.exact ? '' : 'about '}${percent(after.other)}`}
      {changed && !after.exact && '. The list is too short to say it exactly: how the rest is split is not known.'}
    </p>
  );
}

/** Bytes of a token that is a part of a character. */
const bytesOf = (run: Run, id: number): string =>
  run.isPart(id) ? `bytes ${[...run.bytes(id)].map((b) => b.toString(16).padStart(2, '0')).join(' ')}` : '';
