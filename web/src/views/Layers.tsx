// What each layer of the model would have said at the selected step: from which layer on the token is ahead, and of which other.

import { useWidth } from './useWidth';
import { aheadFrom, type Layers, layerName, leads, rivals, strongest } from '../lib/layers';
import { neighbour, type Step } from '../lib/curves';
import { bare, percent } from '../lib/numbers';
import { NONE, ROOT, type Run } from '../lib/run';
import { visible } from '../lib/visible';
import * as api from '../state/api';
import { asked as waitsFor, status } from '../state/live';
import { lacking } from '../state/need';
import { lookAfter, path, revision, runDocument, select, selected } from '../state/store';
import { LayerCharts } from './layers/LayerCharts';
import { useAsked } from './useAsked';
import { ViewBar } from './ViewBar';
import './curves.css';
import './layers.css';

/** Answers by run, step and token. */
const known = new Map<string, Layers>();

const quoted = (text: string): string => `“${visible(text) || '∅'}”`;

export function LayersView() {
  revision.value;
  const document = runDocument.value;
  if (!document) return null;
  const { run } = document;
  const node = Math.min(selected.value, run.size - 1);
  const isAfter = node === ROOT || lookAfter.value;
  const step = isAfter ? node : run.parent.get(node);
  const here = isAfter ? null : run.token.get(node);
  const missing = lacking('inside');
  const id = document.live?.id;
  return (
    <>
      <ViewBar />
      <div class="view layers" id="view" role="tabpanel" aria-labelledby="tab-layers" tabIndex={0}>
        {missing !== null || id === undefined ? (
          <p class="empty">{missing}</p>
        ) : (
          <Place key={document.key} id={id} run={run} step={step} here={here} />
        )}
      </div>
    </>
  );
}

interface PlaceProps {
  id: string;
  run: Run;
  /** The node after which the layers are asked. */
  step: number;
  /** The token that stands there, or null. */
  here: number | null;
}

function Place({ id, run, step, here }: PlaceProps) {
  const [box, width] = useWidth();
  const sha = run.header.model.sha256;
  const found = useAsked(`${sha} ${id} ${step} ${here}`, known, () => api.layers(id, step, here));
  const onStep = (to: Step) => {
    const n = neighbour(run, path.value, selected.peek(), to);
    if (n !== NONE) select(n);
  };
  const place =
    here !== null
      ? `Instead of ${quoted(run.text(here))}`
      : step === ROOT
        ? 'After the prompt'
        : `After ${quoted(run.nodeText(step))}`;
  return (
    <div ref={box}>
      <h2>{place}, layer by layer</h2>
      {found.state === 'waiting' && (
        <p class="dim" role="status">
          {waiting()}
        </p>
      )}
      {found.state === 'failed' && (
        <p class="bad" role="alert">
          {found.why}
        </p>
      )}
      {found.state === 'here' && (
        <>
          <p class="verdict" role="status">
            {verdict(found.value, here)}
          </p>
          {width.value > 0 && (
            <LayerCharts found={found.value} here={here} width={Math.max(240, width.value)} onStep={onStep} />
          )}
          <Table found={found.value} here={here} />
          <p class="dim about-layers">
            After each layer, the model’s own last steps (final norm and output matrix) are done at once, as if no layer
            came after it. Layer 0 is the embedding. “Adds” is what the layer adds to the token’s logit; the rest is
            what a sum of layers cannot explain.
          </p>
        </>
      )}
    </div>
  );
}

function waiting(): string {
  const busy = status.value?.state === 'running' || waitsFor.value !== null;
  return busy
    ? 'The run goes on: the model says what each layer has here as soon as it has a moment…'
    : 'The model goes through its layers once more…';
}

/** What the layers say, in sentences. */
function verdict(found: Layers, here: number | null): string {
  const last = found.layers.length - 1;
  const [top] = found.tokens;
  const pair = rivals(found, here);
  const [chosen, rival] = [found.tokens[pair[0]]!, found.tokens[pair[1]]];
  const decides =
    found.decided === 0
      ? `${quoted(top!.text)} is the most likely token after every layer.`
      : found.decided === last
        ? `The last layer decides: only after layer ${last} is ${quoted(top!.text)} the most likely token.`
        : `${capital(layerName(found.decided))} of ${last} decides: from there on ${quoted(top!.text)} stays the most likely token.`;
  if (!rival) return decides;
  const lead = leads(found, pair);
  const from = aheadFrom(lead);
  const most = strongest(found, pair);
  const against =
    from === null
      ? `${quoted(chosen.text)}, which stands here, ends ${bare(-lead[last]!)} bits behind ${quoted(rival.text)}.`
      : `It is ahead of ${quoted(rival.text)} from ${layerName(from)} on, and ends ${bare(lead[last]!)} bits ahead.`;
  const help =
    most.part > 0
      ? ` ${capital(layerName(most.layer))} does most for ${quoted(chosen.text)} against ${quoted(rival.text)}.`
      : '';
  return `${decides} ${against}${help}`;
}

const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);

function Table({ found, here }: { found: Layers; here: number | null }) {
  const signed = (x: number) => {
    const digits = Math.abs(x).toFixed(2);
    return `${Number(digits) === 0 ? '' : x > 0 ? '+' : '−'}${digits}`;
  };
  return (
    <div class="layer-table">
      <table>
        <thead>
          <tr>
            <th scope="col" rowSpan={2}>
              Layer
            </th>
            <th scope="col" rowSpan={2}>
              Its most likely token
            </th>
            {found.tokens.map((t) => (
              <th scope="colgroup" colSpan={3} key={t.id} class="of-token">
                {quoted(t.text)}
                {t.id === here && ' (here)'}
              </th>
            ))}
          </tr>
          <tr>
            {found.tokens.map((t) => (
              <Heads key={t.id} />
            ))}
          </tr>
        </thead>
        <tbody>
          {found.layers.map((l, i) => (
            <tr key={i} class={i === found.decided ? 'decides' : ''}>
              <th scope="row" class="num">
                {i}
                {i === found.decided && <span class="mark"> decides</span>}
              </th>
              <td class="best">
                {visible(l.best.text) || '∅'} <span class="dim">{percent(Math.exp(l.logprob))}</span>
              </td>
              {l.tokens.map((t, k) => (
                <Cells
                  key={k}
                  rank={`#${t.rank.toLocaleString('en')}`}
                  logprob={t.logprob.toFixed(2)}
                  part={signed(t.part)}
                />
              ))}
            </tr>
          ))}
          <tr>
            <th scope="row" class="num">
              rest
            </th>
            <td />
            {found.tokens.map((t) => (
              <Cells key={t.id} rank="" logprob="" part={signed(t.rest)} />
            ))}
          </tr>
          <tr>
            <th scope="row" class="num">
              logit
            </th>
            <td />
            {found.tokens.map((t) => (
              <Cells key={t.id} rank="" logprob="" part={signed(t.logit)} />
            ))}
          </tr>
        </tbody>
      </table>
    </div>
  );
}

function Heads() {
  return (
    <>
      <th scope="col" class="num of-token">
        rank
      </th>
      <th scope="col" class="num">
        logprob
      </th>
      <th scope="col" class="num">
        adds
      </th>
    </>
  );
}

function Cells({ rank, logprob, part }: { rank: string; logprob: string; part: string }) {
  return (
    <>
      <td class="num of-token">{rank}</td>
      <td class="num">{logprob}</td>
      <td class="num">{part}</td>
    </>
  );
}
