// How probable each answer is, between bounds: paths whose text has decided are certain, all others may still become any answer.

import { useMemo } from 'preact/hooks';
import { count, percent } from '../lib/numbers';
import { type Answer, pathRows } from '../lib/paths';
import { patternOfChoices, span } from '../lib/pattern';
import { harmless } from '../lib/visible';
import { asked } from '../state/asked';
import * as live from '../state/live';
import * as store from '../state/store';
import { AskForm } from './answers/AskForm';
import { useCalmRevision } from './useCalmRevision';
import { useSearch } from './useSearch';
import { ViewBar } from './ViewBar';
import './answers.css';

/** Answers that are shown: more are told as a number. */
const MOST = 30;

export function AnswersView() {
  const run = store.runDocument.value?.run;
  const { text, pattern: isPattern } = asked.value;
  const revision = useCalmRevision();
  const all = useMemo(() => (run ? pathRows(run) : []), [run, revision]);
  const pattern = isPattern ? text : patternOfChoices(text);
  const { search, progress, wrong } = useSearch(run, pattern, all);
  const list = useMemo(() => search?.answers(!isPattern) ?? [], [search, progress]);
  if (!run) return null;
  const decided = search?.decided ?? 0;
  const endless = isPattern && pattern !== '' && !wrong && span(pattern) === Number.POSITIVE_INFINITY;
  return (
    <>
      <ViewBar>
        {search && !search.done && (
          <span class="dim" role="status">
            {search.tried} of {count(all.length, 'path')} read
          </span>
        )}
      </ViewBar>
      <div class="view answers" id="view" role="tabpanel" aria-labelledby="tab-answers">
        <AskForm />
        {wrong && (
          <p class="bad" role="alert">
            {wrong}
          </p>
        )}
        {text.trim() === '' && !wrong && (
          <p class="empty">
            Type the answers that the text can give, and see how probable each is, at least and at most. Example: for
            “Is the number 91 prime?” the choices are <b>yes, no</b>. The bounds come closer as the run goes on.
          </p>
        )}
        {search && (
          <>
            <Bounds list={list} />
            {search.done && list.length === 0 && (
              <p class="empty">
                {search.rows.length > 0
                  ? `${count(search.rows.length, 'path')} have it at their very end: more text could still change it. Let the run go deeper.`
                  : 'No path has one of these in its text. Are they written as the model writes them?'}
              </p>
            )}
            <p class="dim">
              Decided: {percent(decided)} of all that the model could say, {percent(Math.max(0, 1 - decided))} may still
              become any answer
              {endless && '. The expression has no greatest length, so only finished paths decide'}.
              {live.canGoOn() &&
                decided < 0.9 &&
                ' “Explore here”, with the prompt selected, brings the bounds closer.'}
            </p>
          </>
        )}
      </div>
    </>
  );
}

function Bounds({ list }: { list: Answer[] }) {
  if (list.length === 0) return null;
  return (
    <table class="bounds">
      <thead>
        <tr>
          <th scope="col">Answer</th>
          <th scope="col" class="num">
            at least
          </th>
          <th scope="col" class="num">
            at most
          </th>
          <th scope="col">
            <span class="unseen">Between</span>
          </th>
          <th scope="col" class="num">
            paths
          </th>
        </tr>
      </thead>
      <tbody>
        {list.slice(0, MOST).map((a) => (
          <tr key={a.text}>
            <th scope="row" dir="auto">
              {harmless(a.text)}
            </th>
            <td class="num">{percent(a.lower)}</td>
            <td class="num">{percent(a.upper)}</td>
            <td class="interval" aria-hidden="true">
              <span class="certain" style={{ width: `${a.lower * 100}%` }} />
              <span class="possible" style={{ left: `${a.lower * 100}%`, width: `${(a.upper - a.lower) * 100}%` }} />
            </td>
            <td class="num">{a.paths}</td>
          </tr>
        ))}
      </tbody>
      {list.length > MOST && (
        <caption>
          The {MOST} likeliest of {list.length} answers.
        </caption>
      )}
    </table>
  );
}
