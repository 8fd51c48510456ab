// The shown path beside another run, or beside another branch of the same: one text, two models of it.

import { useSignal } from '@preact/signals';
import { useMemo } from 'preact/hooks';
import { apart, compare, difference, pairs, type Place } from '../lib/compare';
import { css, inkFor, sideColour } from '../lib/colours';
import { bare, count, percent } from '../lib/numbers';
import { NONE, ROOT, type Run } from '../lib/run';
import { harmless, visible } from '../lib/visible';
import { scheme } from '../state/prefs';
import { loadRun } from '../state/others';
import * as live from '../state/live';
import { documents, leaf, lookAfter, path, type RunDocument, runDocument, select, selected } from '../state/store';
import { Whole } from './compare/Whole';
import { useCalmRevision } from './useCalmRevision';
import { ViewBar } from './ViewBar';
import './compare.css';

/** Bits that colour a token as strongly as can be. */
const STRONG = 6;
/** Tokens that are shown: more are a wall. */
const MOST = 1500;

export function CompareView() {
  const document = runDocument.value;
  const other = useSignal<RunDocument | null>(null);
  const problem = useSignal('');
  if (!document) return null;
  const choose = async (key: string) => {
    problem.value = '';
    if (key === '') other.value = null;
    else if (key === 'branch') other.value = document;
    else {
      try {
        other.value = await loadRun(key);
      } catch (e) {
        problem.value = (e as Error).message;
      }
    }
  };
  const files = documents.value.filter((d) => d.kind === 'run' && d !== document && !d.key.startsWith('server:'));
  const runs = live.runs.value.filter((r) => r.kind === 'run' && `server:${r.id}` !== document.key);
  return (
    <>
      <ViewBar>
        <label class="group">
          with{' '}
          <select aria-label="Compare with" onChange={(e) => void choose(e.currentTarget.value)}>
            <option value="">choose a run…</option>
            <option value="branch">the most likely path of this run</option>
            {runs.map((r) => (
              <option key={r.id} value={`server:${r.id}`}>
                {harmless(r.name).slice(0, 60)} · {harmless(r.model)}
              </option>
            ))}
            {files.map((d) => (
              <option key={d.key} value={d.key}>
                {harmless(d.name).slice(0, 60)}
              </option>
            ))}
          </select>
        </label>
      </ViewBar>
      <div class="view compare" id="view" role="tabpanel" aria-labelledby="tab-compare">
        {problem.value && (
          <p class="bad" role="alert">
            {problem.value}
          </p>
        )}
        {other.value ? (
          <Pair a={document} b={other.value} />
        ) : (
          <p class="empty">
            Choose another run above: the same prompt with another model, another prompt with the same one, or this
            run’s own most likely path. The text of the path is shown once, and each token says which of the two
            expected it more.
          </p>
        )}
      </div>
    </>
  );
}

function Pair({ a, b }: { a: RunDocument; b: RunDocument }) {
  const revision = useCalmRevision();
  const end = leaf.value;
  const endB = a === b ? a.run.descend(ROOT) : b.run.descend(ROOT);
  const { places, shared, otherB } = useMemo(() => compare(a.run, end, b.run, endB), [a, b, end, endB, revision]);
  const sum = difference(places);
  const same = a === b;
  const names: [string, string] = same ? ['this path', 'the most likely path'] : [titleOf(a), titleOf(b)];
  const prompts = a.run.header.prompt.text === b.run.header.prompt.text;
  const mean = sum.tokens > 0 ? sum.bits / sum.tokens : 0;
  return (
    <>
      <dl class="pair">
        <div>
          <dt class="of-a">A</dt>
          <dd>{names[0]}</dd>
        </div>
        <div>
          <dt class="of-b">B</dt>
          <dd>{names[1]}</dd>
        </div>
      </dl>
      {!prompts && <p class="dim">Their prompts differ: the tokens after them are compared.</p>}
      <p class="facts">
        {whereApart(shared, places[shared]?.text, otherB[0] === undefined ? undefined : b.run.nodeText(otherB[0]))}
        {!same &&
          sum.tokens > 0 &&
          ` For the ${count(sum.tokens, 'token')} of A that B knows too, B needed ${bare(Math.abs(sum.bits))} bits ${sum.bits >= 0 ? 'more' : 'less'}: ${bare(Math.abs(mean))} a token.`}
      </p>
      <div class="compare-text" dir="auto">
        <span class="prompt">{harmless(a.run.header.prompt.text.slice(-200))}</span>
        {places.slice(0, MOST).map((p, i) => (
          <TokenOfBoth key={p.a} place={p} parts={i === shared && i > 0} />
        ))}
        {places.length > MOST && <span class="dim"> …and {count(places.length - MOST, 'token')} more</span>}
      </div>
      {otherB.length > 0 && (
        <p class="compare-text" dir="auto">
          <span class="dim">B goes on: </span>
          {harmless(b.run.textOf(otherB.slice(0, 200).map((n) => b.run.token.get(n))))}
        </p>
      )}
      <p class="legend">
        <span class="of-b">B expected it more</span> <span class="compare-scale" />{' '}
        <span class="of-a">A expected it more</span>
        <span class="dim"> · no ground: B’s run does not know it</span>
      </p>
      <Whole key={`${a.key} ${b.key} ${end}`} a={a} b={b} nodes={places.map((p) => p.a)} />
      <Steps a={a.run} b={b.run} places={places} />
    </>
  );
}

/** Where two paths part, and how each goes on, if it does. */
function whereApart(shared: number, a: string | undefined, b: string | undefined): string {
  if (a === undefined && b === undefined) return `Both paths are the same ${count(shared, 'token')}.`;
  const says = [
    a === undefined ? '' : `A says “${visible(a)}”`,
    b === undefined ? '' : `B says “${visible(b)}”`,
  ].filter((s) => s !== '');
  const before =
    shared === 0 ? 'The paths part at the first token' : `Both paths begin with the same ${count(shared, 'token')}`;
  return `${before}; ${shared === 0 ? '' : 'then '}${says.join(', ')}.`;
}

const titleOf = (d: RunDocument): string => {
  const name = harmless(d.name).replace(/\s+/g, ' ').trim().slice(0, 80);
  return `${name} · ${harmless(d.run.header.model.name)}`;
};

function TokenOfBoth({ place: p, parts }: { place: Place; parts: boolean }) {
  const delta = p.bitsB - p.bitsA;
  const strength = Math.min(1, Math.abs(delta) / STRONG) * 0.8;
  const colour = sideColour(delta > 0 ? 'a' : 'b', scheme.value, strength);
  const style = Number.isNaN(delta) ? {} : { background: css(colour), color: inkFor(colour) };
  const name = p.text.trim() === '' ? visible(p.text) : harmless(p.text);
  const words = Number.isNaN(delta)
    ? `A ${bare(p.bitsA)} bits, B does not know it`
    : `A ${bare(p.bitsA)} bits, B ${bare(p.bitsB)} bits`;
  return (
    <span
      role="button"
      tabIndex={selected.value === p.a ? 0 : -1}
      class={['tok', selected.value === p.a && 'selected', Number.isNaN(delta) && 'unknown', parts && 'parts']
        .filter(Boolean)
        .join(' ')}
      style={style}
      title={words}
      aria-label={`${name}: ${words}`}
      onClick={() => {
        select(p.a);
        lookAfter.value = false;
      }}
    >
      {name}
    </span>
  );
}

/** The two lists at the selected token. */
function Steps({ a, b, places }: { a: Run; b: Run; places: Place[] }) {
  const nodes = path.value;
  const at = Math.max(0, nodes.indexOf(selected.value));
  const place = places[at];
  const before = at === 0 ? { a: ROOT as number, b: ROOT as number } : places[at - 1];
  if (!place || !before) return null;
  if (before.b === NONE)
    return <p class="dim">B’s run does not go this way: it has no list for “{visible(place.text)}”.</p>;
  const list = pairs(a, before.a, b, before.b);
  if (list.length === 0) return null;
  return (
    <table class="pairs">
      <caption>
        What could stand instead of “{visible(place.text)}”. The two differ in at least {percent(apart(list))} of the
        probability.
      </caption>
      <thead>
        <tr>
          <th scope="col">Token</th>
          <th scope="col" class="num of-a">
            A
          </th>
          <th scope="col" class="num of-b">
            B
          </th>
          <th scope="col" class="num">
            B − A, bits
          </th>
        </tr>
      </thead>
      <tbody>
        {list.slice(0, 20).map((p, i) => (
          <tr key={i}>
            <th scope="row">{visible(p.text)}</th>
            <td class="num">{Number.isNaN(p.a) ? 'not listed' : percent(p.a)}</td>
            <td class="num">{Number.isNaN(p.b) ? 'not listed' : percent(p.b)}</td>
            <td class="num">{signed(Math.log2(p.a / p.b))}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

const signed = (x: number): string =>
  Number.isNaN(x) ? '–' : `${x > 0 ? '+' : x < 0 ? '−' : ''}${Math.abs(x).toFixed(2)}`;
