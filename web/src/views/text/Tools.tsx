// The line above the text: ways back, numbers of the path and of the run, and how tokens are marked.

import { colourAt } from '../../lib/colours';
import { METRIC_UNITS, METRICS, type Metric, perplexity } from '../../lib/metrics';
import { count, fixed, share } from '../../lib/numbers';
import { ROOT, type Run } from '../../lib/run';
import { inWords, PLAIN } from '../../lib/sampler';
import { massBits } from '../../lib/words';
import { startByHand } from '../../state/keys';
import { canGoOn } from '../../state/live';
import { marking, scheme } from '../../state/prefs';
import { hidePrompt, scorePrompt, scores } from '../../state/prompt';
import * as store from '../../state/store';
import { say } from '../../state/toasts';
import { accountOf } from '../ribbon/account';

interface Props {
  run: Run;
  /** Where the path ends. */
  last: number;
  length: number;
}

export function TextTools({ run, last, length }: Props) {
  // The run stays the same object while its numbers change.
  store.revision.value;
  const asking = scores.value?.run === run && scores.value.state === 'busy';
  const shown = scores.value?.run === run && scores.value.state === 'here';
  return (
    <div class="tools text-tools">
      <span class="group">
        <button
          type="button"
          class="icon"
          aria-label="Undo"
          disabled={!store.canUndo.value}
          onClick={store.undo}
          title="Back to the path before (Ctrl+Z)"
        >
          ↶
        </button>
        <button
          type="button"
          class="icon"
          aria-label="Redo"
          disabled={!store.canRedo.value}
          onClick={store.redo}
          title="Forward again (Ctrl+Y)"
        >
          ↷
        </button>
        <button
          type="button"
          class="small"
          onClick={store.mostLikely}
          title="The most likely token at every step, from the prompt on"
        >
          Back to most likely
        </button>
        <button
          type="button"
          class="small"
          aria-pressed={store.byHand.value}
          onClick={startByHand}
          title="One token at a time: → takes the most likely, 1 to 9 take another, ← goes back (w)"
        >
          By hand
        </button>
        {(canGoOn() || shown) && (
          <button
            type="button"
            class="small"
            aria-pressed={shown}
            disabled={asking}
            onClick={() => (shown ? hidePrompt() : scorePrompt(run))}
            title="How surprising the tokens of the prompt itself are, and what could stand in their place"
          >
            {asking ? 'Scoring the prompt…' : 'Score the prompt'}
          </button>
        )}
        <button
          type="button"
          class="small"
          aria-label="Copy the text"
          title="Copy the text"
          onClick={() => copy(run.wholeText(last))}
        >
          Copy
        </button>
      </span>
      <Account run={run} last={last} length={length} />
      <Sampled />
      <span class="group look">
        <button
          type="button"
          class="icon"
          aria-pressed={store.marks.value}
          aria-label="Spaces and control tokens"
          title="Make spaces and control tokens visible"
          onClick={() => (store.marks.value = !store.marks.value)}
        >
          ¶
        </button>
        <button
          type="button"
          class="icon"
          aria-pressed={marking.value === 'underline'}
          aria-label="Mark tokens by a line below them"
          title="Mark tokens by a line below them, rather than on their ground"
          onClick={() => (marking.value = marking.value === 'underline' ? 'fill' : 'underline')}
        >
          <u>A</u>
        </button>
        <select
          aria-label="Colour"
          title="What the colours show"
          value={store.metric.value}
          onChange={(e) => (store.metric.value = e.currentTarget.value as Metric)}
        >
          {METRICS.map((m) => (
            <option key={m}>{m}</option>
          ))}
        </select>
        <Legend metric={store.metric.value} />
      </span>
    </div>
  );
}

/** What the path is worth, and where the run's probability went. */
function Account({ run, last, length }: Props) {
  const mass = accountOf(run);
  const more =
    run.moreCount > 0 ? ` · ${count(run.moreCount, 'node')} with possibly more branches than were listed` : '';
  const words = `${count(run.size, 'node')} · finished ${share(mass.finished)} · still open ${share(mass.frontier)} · not followed ${share(mass.pruned)}${more}`;
  const what =
    'Of all that the model could have said, “finished” reached an end token, “still open” was cut by the depth or not looked at yet, ' +
    '“not followed” was less likely than the threshold.';
  return (
    <span class="facts" title={`${words}. ${what}`}>
      <span class="totals">
        {count(length, 'token')} · {massBits(run, last)} · perplexity {fixed(perplexity(run, ROOT, last), 2)}
      </span>
      <span class="strip-mass">{words}</span>
    </span>
  );
}

/** Says that the numbers are not the model's own. */
function Sampled() {
  const about = store.resampled.value?.summary();
  if (!about) return null;
  return (
    <span class="sampled" role="status">
      <span class="sampled-words">
        As sampled with {inWords(store.sampler.value)}
        {about.cut > 0 && ` · ${count(about.cut, 'token')} of the tree cut`}
        {about.rough && ' · ≈ where the list of a step is too short to be exact'}
      </span>
      <button type="button" class="small" onClick={() => store.sample(PLAIN)}>
        Reset the sampler
      </button>
    </span>
  );
}

/** The scale, with what its ends mean. */
function Legend({ metric }: { metric: Metric }) {
  const ends = { surprisal: ['0', '6+'], probability: ['100', '0'], rank: ['1', '100+'], entropy: ['0', '6+'] }[metric];
  const stops = Array.from({ length: 9 }, (_, i) => colourAt(i / 8, scheme.value)).join(', ');
  return (
    <span class="legend">
      {ends[0]}
      <span class="scale" style={{ background: `linear-gradient(to right, ${stops})` }} />
      {ends[1]} {METRIC_UNITS[metric]}
    </span>
  );
}

function copy(text: string): void {
  const done = () => say('Copied.');
  const failed = () => say('The browser does not allow copying here.', 'bad');
  navigator.clipboard?.writeText(text).then(done, failed) ?? failed();
}
