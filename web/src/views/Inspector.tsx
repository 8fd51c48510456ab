// The distribution of one step: its list, its numbers, and what a sampler would make of it.

import { useSignal } from '@preact/signals';
import { useEffect, useMemo, useRef } from 'preact/hooks';
import { BITS } from '../lib/metrics';
import { bits, count, fixed, percent, visible } from '../lib/numbers';
import { sampledStep } from '../lib/resampled';
import { type Listed, NONE, ROOT, type Run, State } from '../lib/run';
import { PLAIN, type Sampler } from '../lib/sampler';
import { chance, chanceBits, mass, massBits, sampledText } from '../lib/words';
import * as store from '../state/store';
import './inspector.css';

export interface Found {
  id: number;
  text: string;
  logprob: number;
  rank: number;
}

interface Props {
  onChoose: (parent: number, token: number) => void;
  live: boolean;
  vocabulary?: (node: number, query: string, offset: number) => Promise<{ tokens: Found[]; whole: boolean }>;
}

export function InspectorView({ onChoose, live, vocabulary }: Props) {
  store.revision.value;
  const run = store.runDocument.value?.run;
  const after = useSignal(false);
  const query = useSignal('');
  if (!run) return null;
  const node = Math.min(store.selected.value, run.size - 1);
  const step = node === ROOT || after.value ? node : run.parent.get(node);
  const listed = run.listed(step);
  const known = run.state.get(step) === State.Expanded;
  const title = node === ROOT ? 'After the prompt' : `${after.value ? 'After' : 'At'} “${visible(run.nodeText(node))}”`;
  return (
    <div class="inspector">
      <h2>{title}</h2>
      <div class="switch">
        <button
          type="button"
          aria-pressed={!after.value}
          disabled={node === ROOT}
          onClick={() => (after.value = false)}
        >
          This token
        </button>
        <button type="button" aria-pressed={after.value} disabled={node === ROOT} onClick={() => (after.value = true)}>
          The next
        </button>
      </div>
      {known ? (
        <>
          <Numbers run={run} step={step} node={node} listed={listed} />
          {vocabulary && (
            <input
              type="search"
              placeholder="Search the whole vocabulary"
              aria-label="Search the whole vocabulary"
              value={query.value}
              onInput={(e) => (query.value = e.currentTarget.value)}
            />
          )}
          {vocabulary && query.value !== '' ? (
            <Search
              key={step}
              step={step}
              query={query.value}
              vocabulary={vocabulary}
              onChoose={(t) => onChoose(step, t)}
            />
          ) : (
            <Steps
              run={run}
              listed={listed}
              sampler={store.sampler.value}
              here={step === node ? NONE : run.token.get(node)}
              live={live}
              onChoose={(t) => onChoose(step, t)}
            />
          )}
          <Sliders />
        </>
      ) : (
        <p class="dim">
          {live
            ? 'Not explored yet: choose “Continue from here” in the tree.'
            : 'The file has nothing after this token.'}
        </p>
      )}
    </div>
  );
}

function Numbers({ run, step, node, listed }: { run: Run; step: number; node: number; listed: Listed[] }) {
  const entropy = run.entropy.get(step);
  const bound = run.bound.get(step) === 1 ? '≥ ' : '';
  let sum = 0;
  const inTopP = listed.findIndex((t) => {
    if (Number.isNaN(t.rank)) return false;
    sum += Math.exp(t.logprob);
    return sum >= 0.9;
  });
  const threshold = run.threshold.get(step);
  return (
    <dl>
      {node !== ROOT && (
        <>
          <dt>Token</dt>
          <dd>
            id {run.token.get(node)} · {chance(run, node)} · {chanceBits(run, node)}
            {bytesOf(run, run.token.get(node))}
          </dd>
          <dt>Path</dt>
          <dd>
            {mass(run, node)} · {massBits(run, node)}
          </dd>
        </>
      )}
      {!Number.isNaN(entropy) && (
        <>
          <dt>Entropy</dt>
          <dd>
            {bound}
            {bits(entropy * BITS)}
          </dd>
          <dt>Varentropy</dt>
          <dd>
            {bound && '≈ '}
            {fixed(run.varentropy.get(step) * BITS * BITS, 2)} bits²
          </dd>
        </>
      )}
      <dt>90 % are in</dt>
      <dd>{inTopP >= 0 ? count(inTopP + 1, 'token') : `more than ${listed.length} tokens`}</dd>
      {!Number.isNaN(threshold) && (
        <>
          <dt>Threshold</dt>
          <dd>
            {percent(threshold)} with {run.queue.get(step)} open
          </dd>
        </>
      )}
    </dl>
  );
}

interface StepsProps {
  run: Run;
  listed: Listed[];
  sampler: Sampler;
  here: number;
  live: boolean;
  onChoose: (token: number) => void;
}

function Steps({ run, listed, sampler, here, live, onChoose }: StepsProps) {
  const after = useMemo(() => sampledStep(listed, sampler), [listed, sampler]);
  const rest = Math.max(0, 1 - listed.reduce((sum, t) => sum + Math.exp(t.logprob), 0));
  const changed = sampler !== PLAIN;
  const sums = useMemo(() => {
    let sum = 0;
    return listed.map((t) => {
      sum += Math.exp(t.logprob);
      return sum;
    });
  }, [listed]);
  return (
    <div class="rows">
      {listed.map((t, i) => {
        // A child that is not on the step's list has no known rank.
        const isRanked = !Number.isNaN(t.rank);
        const p = after.probs[i]!;
        const isCut = changed && p === 0;
        const classes = ['step'];
        if (t.id === here) classes.push('here');
        if (isCut) classes.push('cut');
        const place = isRanked ? ` · with those above ${percent(sums[i]!)}` : ' · not among those listed at this step';
        return (
          <button
            type="button"
            key={t.id}
            class={classes.join(' ')}
            disabled={t.node === NONE && !live}
            title={`id ${t.id}${bytesOf(run, t.id)}${place}${t.node === NONE ? (live ? ' · the model goes on from it' : ' · not in this file') : ' · in the tree'}`}
            onClick={() => onChoose(t.id)}
          >
            <span class="what">{visible(run.text(t.id))}</span>
            <span class="num">{percent(Math.exp(t.logprob))}</span>
            <span class="num">{changed ? sampledText(after, i) : t.logprob.toFixed(2)}</span>
            {isRanked && <span class="sum" style={{ width: `${Math.min(1, sums[i]!) * 100}%` }} />}
            <span class="fill" style={{ width: `${p * 100}%` }} />
          </button>
        );
      })}
      <p class="other">
        other {percent(rest)}
        {changed && ` → ${after.exact ? '' : 'about '}${percent(after.other)}`}
      </p>
      {changed && !after.exact && (
        <p class="other">
          The list is too short to say it exactly: how the other {percent(rest)} is split is not known.
        </p>
      )}
    </div>
  );
}

/** Bytes of a token that is a part of a character. */
const bytesOf = (run: Run, id: number): string =>
  run.isPart(id) ? ` · bytes ${[...run.bytes(id)].map((b) => b.toString(16).padStart(2, '0')).join(' ')}` : '';

interface SearchProps {
  step: number;
  query: string;
  vocabulary: NonNullable<Props['vocabulary']>;
  onChoose: (token: number) => void;
}

function Search({ step, query, vocabulary, onChoose }: SearchProps) {
  const found = useSignal<Found[]>([]);
  const state = useSignal<'busy' | 'more' | 'all' | string>('busy');
  const whole = useSignal(true);
  // An answer to what was asked before must not take the place of a later one.
  const asked = useRef(0);
  const load = async (offset: number) => {
    const mine = ++asked.current;
    try {
      const page = await vocabulary(step, query, offset);
      if (mine !== asked.current) return;
      found.value = offset === 0 ? page.tokens : [...found.value, ...page.tokens];
      state.value = page.tokens.length < 50 ? 'all' : 'more';
      whole.value = page.whole;
    } catch (e) {
      if (mine === asked.current) state.value = (e as Error).message;
    }
  };
  useEffect(() => {
    // Typing goes on: ask when it pauses.
    const timer = setTimeout(() => load(0), 150);
    return () => {
      clearTimeout(timer);
      asked.current++;
    };
  }, [query, step]);
  return (
    <div class="rows">
      {found.value.map((t) => (
        <button type="button" key={t.id} class="step" onClick={() => onChoose(t.id)} title={`id ${t.id}`}>
          <span class="what">{visible(t.text)}</span>
          <span class="num">{percent(Math.exp(t.logprob))}</span>
          <span class="num">#{t.rank}</span>
        </button>
      ))}
      {state.value === 'more' && (
        <button type="button" onClick={() => load(found.value.length)}>
          More
        </button>
      )}
      {state.value === 'all' && found.value.length === 0 && <p class="other">No token has this in its text.</p>}
      {!whole.value && <p class="other">The engine lists no more than some tokens: only these were searched.</p>}
      {!['busy', 'more', 'all'].includes(state.value) && <p class="bad">{state.value}</p>}
    </div>
  );
}

const SLIDERS: [keyof Sampler, string, number, number, number][] = [
  ['temperature', 'Temperature', 0.1, 2, 0.05],
  ['topK', 'Top-k', 0, 50, 1],
  ['topP', 'Top-p', 0.05, 1, 0.01],
  ['minP', 'Min-p', 0, 1, 0.01],
];

function Sliders() {
  const sampler = store.sampler.value;
  return (
    <fieldset class="sliders">
      <legend>As a sampler would see it</legend>
      {SLIDERS.map(([key, name, min, max, step]) => (
        <label key={key}>
          {name}
          <input
            type="range"
            min={min}
            max={max}
            step={step}
            value={sampler[key]}
            onInput={(e) => store.sample({ ...sampler, [key]: Number(e.currentTarget.value) })}
          />
          <output>{key === 'topK' && sampler[key] === 0 ? 'all' : sampler[key]}</output>
        </label>
      ))}
      <button type="button" disabled={sampler === PLAIN} onClick={() => store.sample(PLAIN)}>
        Reset
      </button>
    </fieldset>
  );
}
