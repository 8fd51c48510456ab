// How likely each answer is after each token of the path, between bounds, and the token at which it was decided.

import { useWidth } from './useWidth';
import { boundsOf, type Class, classesOf, spelled } from '../lib/decision';
import { count, percent } from '../lib/numbers';
import { NONE } from '../lib/run';
import { neighbour } from '../lib/curves';
import { harmless, visible } from '../lib/visible';
import { asked } from '../state/asked';
import { choicesAsked, type Curve, curve, look, stop } from '../state/decision';
import { lacking } from '../state/need';
import { lookAfter, path, type RunDocument, runDocument, select, selected } from '../state/store';
import { AskForm } from './answers/AskForm';
import { DecisionChart } from './decision/DecisionChart';
import { ViewBar } from './ViewBar';
import './answers.css';
import './curves.css';
import './decision.css';

/** Answers that have a curve of their own. */
const MOST = 4;

export function DecisionView() {
  const document = runDocument.value;
  if (!document) return null;
  const missing = lacking('model');
  return (
    <>
      <ViewBar />
      <div class="view answers decision" id="view" role="tabpanel" aria-labelledby="tab-decision" tabIndex={0}>
        {missing === null ? <Look document={document} /> : <p class="empty">{missing}</p>}
      </div>
    </>
  );
}

function Look({ document }: { document: RunDocument }) {
  const nodes = path.value;
  const found = curve.value?.key === document.key ? curve.value : null;
  const isBusy = found?.state === 'busy';
  const same = found !== null && found.nodes.length === nodes.length && found.nodes.at(-1) === nodes.at(-1);
  const id = document.live?.id;
  const empty = asked.value.text.trim() === '';
  const send = () => {
    if (!empty && id && nodes.length > 0) look(id, document.key, nodes, asked.value);
  };
  return (
    <>
      <AskForm onSend={send}>
        {isBusy ? (
          // Not the other button with another type: the click that stops would then send the form.
          <button type="button" key="stop" onClick={stop}>
            Stop
          </button>
        ) : (
          <button type="submit" key="look" class="primary" disabled={empty || nodes.length === 0}>
            {found ? 'Look again' : 'Look'}
          </button>
        )}
      </AskForm>
      {!found && (
        <p class="empty">
          Type the answers that the text can give and press Enter. After each token of the path, the model looks at all
          ways to go on, until it is known how probable each answer is there: you see the token at which it was decided.
          For “Is the number 91 prime?” the choices are <b>yes, no</b>.
        </p>
      )}
      {found && <State found={found} same={same} />}
      {found && found.points.size > 0 && <Found document={document} found={found} />}
    </>
  );
}

/** What is being done, and what came of it. */
function State({ found, same }: { found: Curve; same: boolean }) {
  const all = found.nodes.length + 1;
  const rough = [...found.points.values()].filter((p) => p.ended_by !== 'tolerance').length;
  return (
    <>
      {found.state === 'busy' && (
        <p role="status" class="dim">
          {found.points.size} of {all} places · {found.words.replace(/[\s·]+$/, '')}…
        </p>
      )}
      {found.state === 'stopped' && (
        <p role="status" class="dim">
          Stopped: {found.points.size} of {all} places are known, from the end of the path on.
        </p>
      )}
      {found.state === 'failed' && (
        <p class="bad" role="alert">
          {found.words}
        </p>
      )}
      {found.notes.map((note) => (
        <p key={note} class="dim">
          {note}
        </p>
      ))}
      {found.state === 'done' && <Verdict found={found} />}
      {found.state === 'done' && rough > 0 && (
        <p class="dim">
          At {count(rough, 'place')} the bounds stay wider than 1 %: so much can still become any answer within the
          paths that were looked at.
        </p>
      )}
      {!same && (
        <p class="dim">
          The path has changed since: this is the curve of the path before. “Look again” takes the new one.
        </p>
      )}
    </>
  );
}

function Verdict({ found }: { found: Curve }) {
  const run = runDocument.value?.run;
  const { decided, nodes } = found;
  if (!run) return null;
  if (!decided)
    return <p role="status">Not decided: to the end of the path no answer is certain to be ahead of all others.</p>;
  const node = nodes[decided.tokens - 1];
  const name = decided.answer === null ? 'no answer' : `“${nameOf(found, decided.answer)}”`;
  return (
    <p role="status" class="decided">
      Decided for <b>{name}</b>{' '}
      {node === undefined ? (
        'by the prompt alone: it is ahead before the first token, and stays so.'
      ) : (
        <>
          at token {decided.tokens},{' '}
          <button type="button" class="small" onClick={() => go(node)}>
            {visible(run.nodeText(node)) || '∅'}
          </button>
          : from there on it is certainly ahead of all others.
        </>
      )}
    </p>
  );
}

function go(node: number): void {
  select(node);
  lookAfter.value = false;
}

const nameOf = (found: Curve, of: Class): string =>
  of === null ? 'no answer' : harmless(spelled(of, choicesAsked(found.asked)));

function Found({ document, found }: { document: RunDocument; found: Curve }) {
  const { run } = document;
  const [box, width] = useWidth();
  const { nodes } = found;
  const { shown, more } = classesOf([...found.points.values()], MOST);
  const names = shown.map((c) => nameOf(found, c));
  return (
    <div ref={box}>
      {width.value > 0 && (
        <DecisionChart
          run={run}
          found={found}
          classes={shown}
          names={names}
          width={Math.max(240, width.value)}
          onPick={(tokens) => go(nodes[tokens - 1] ?? 0)}
          onStep={(to) => {
            const n = neighbour(run, path.value, selected.peek(), to);
            if (n !== NONE) select(n);
          }}
        />
      )}
      {more > 0 && <p class="dim">{count(more, 'answer')} more, less likely everywhere, are not drawn.</p>}
      <div class="decision-table">
        <table>
          <thead>
            <tr>
              <th scope="col" class="num">
                after
              </th>
              <th scope="col">token</th>
              {names.map((name) => (
                <th scope="col" class="num" key={name}>
                  {name}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {[0, ...nodes].map((node, t) => {
              const p = found.points.get(t);
              const isHere = found.decided?.tokens === t;
              return (
                <tr
                  key={node}
                  class={isHere ? 'decides' : ''}
                  aria-current={selected.value === node ? 'true' : undefined}
                >
                  <td class="num">{t}</td>
                  <th scope="row">
                    <button type="button" class="link" onClick={() => go(node)}>
                      {t === 0 ? 'the prompt' : visible(run.nodeText(node)) || '∅'}
                    </button>
                    {isHere && <span class="mark"> decided</span>}
                  </th>
                  {shown.map((c) => (
                    <td class="num" key={c}>
                      {p ? range(boundsOf(p, c)) : '…'}
                    </td>
                  ))}
                </tr>
              );
            })}
          </tbody>
        </table>
      </div>
    </div>
  );
}

/** Bounds as one number where they look the same. */
function range({ lower, upper }: { lower: number; upper: number }): string {
  const [a, b] = [percent(lower), percent(Math.min(1, upper))];
  return a === b ? a : `${a.replace(' %', '')} – ${b}`;
}
