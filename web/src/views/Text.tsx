// The current path as flowing text; every token opens what could have stood in its place.

import { useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { colourAt, inkOn } from '../lib/colours';
import { level, METRIC_UNITS, METRICS, type Metric, metricOf, perplexity } from '../lib/metrics';
import { count, fixed, visible } from '../lib/numbers';
import { type Piece, pieces } from '../lib/pieces';
import { NONE, ROOT, type Run } from '../lib/run';
import { chance, chanceBits, massBits } from '../lib/words';
import * as store from '../state/store';
import { say } from '../state/toasts';
import { Choices } from './Choices';
import './text.css';

/** Tokens shown at once: longer texts are shown in parts. */
const WINDOW = 1200;

interface Props {
  onChoose: (parent: number, token: number) => void;
  live: boolean;
}

export function TextView({ onChoose, live }: Props) {
  store.revision.value;
  const run = store.runDocument.value?.run;
  const nodes = store.path.value;
  const opened = useSignal<{ node: number; x: number; y: number } | null>(null);
  const first = useSignal(0);
  const flow = useRef<HTMLDivElement>(null);
  const place = nodes.indexOf(store.selected.value);
  // The selected token is always among those shown.
  useEffect(() => {
    if (place >= 0 && (place < first.value || place >= first.value + WINDOW)) {
      first.value = Math.max(0, place - WINDOW / 2);
    }
  }, [place]);
  if (!run) return null;
  // The path may have become shorter than what was shown.
  const start = Math.min(first.value, Math.max(0, nodes.length - WINDOW));
  const shown = nodes.slice(start, start + WINDOW);
  const metric = store.metric.value;

  const openAt = (node: number, element: Element) => {
    store.select(node);
    const box = element.getBoundingClientRect();
    const below = box.bottom + 4 + innerHeight * 0.46 < innerHeight;
    opened.value = {
      node,
      x: Math.min(box.left, innerWidth - 440),
      y: below ? box.bottom + 4 : Math.max(4, box.top - innerHeight * 0.46 - 6),
    };
  };
  const shut = () => {
    const node = opened.value?.node;
    opened.value = null;
    if (node !== undefined) flow.current?.querySelector<HTMLElement>(`[data-node="${node}"]`)?.focus();
  };
  const onKey = (e: KeyboardEvent) => {
    const to = { ArrowRight: 1, ArrowLeft: -1, Home: -nodes.length, End: nodes.length }[e.key];
    const token = e.target as HTMLElement;
    const at = Number(token.dataset.node ?? Number.NaN);
    if (Number.isNaN(at)) return;
    if (e.key === 'Enter' || e.key === ' ') {
      e.preventDefault();
      openAt(at, token);
    }
    if (to === undefined) return;
    e.preventDefault();
    const next = nodes[Math.min(nodes.length - 1, Math.max(0, nodes.indexOf(at) + to))];
    if (next === undefined) return;
    store.select(next);
    requestAnimationFrame(() => flow.current?.querySelector<HTMLElement>(`[data-node="${next}"]`)?.focus());
  };
  const last = nodes.at(-1) ?? ROOT;
  const text = run.wholeText(last);
  // A character may have begun in the tokens before those shown.
  const lead = Math.min(start, 3);
  const parts = pieces(run, nodes.slice(start - lead, start + WINDOW), store.marks.value).slice(lead);
  const stop = nodes.includes(store.selected.value) ? store.selected.value : (shown[0] ?? NONE);
  return (
    <div class="text-view">
      <div class="tools">
        <button type="button" disabled={!store.canUndo.value} onClick={store.undo} title="Back to the path before">
          Undo
        </button>
        <button type="button" disabled={!store.canRedo.value} onClick={store.redo}>
          Redo
        </button>
        <button type="button" onClick={store.mostLikely} title="The most likely token at every step">
          Most likely
        </button>
        <button
          type="button"
          onClick={() =>
            navigator.clipboard.writeText(text).then(
              () => say('Copied.'),
              () => say('The browser does not allow copying here.', 'bad'),
            )
          }
        >
          Copy
        </button>
        <button type="button" onClick={() => download(text)}>
          Download
        </button>
        <label class="legend">
          <input
            type="checkbox"
            checked={store.marks.value}
            onChange={(e) => (store.marks.value = e.currentTarget.checked)}
          />
          Spaces and control tokens
        </label>
        <label class="legend">
          Colour
          <select value={metric} onChange={(e) => (store.metric.value = e.currentTarget.value as Metric)}>
            {METRICS.map((m) => (
              <option key={m}>{m}</option>
            ))}
          </select>
        </label>
        <Legend metric={metric} />
        <span class="totals">
          {count(nodes.length, 'token')} · {massBits(run, last)} · perplexity {fixed(perplexity(run, ROOT, last), 2)}
        </span>
      </div>
      <div class="text-flow" ref={flow} onKeyDown={onKey}>
        {start === 0 ? (
          <Prompt run={run} marks={store.marks.value} />
        ) : (
          <button type="button" onClick={() => (first.value = Math.max(0, start - WINDOW / 2))}>
            Earlier…
          </button>
        )}
        {parts.map((p) => (
          <Token
            key={p.node}
            run={run}
            piece={p}
            metric={metric}
            stop={p.node === stop}
            onOpen={(el) => openAt(p.node, el)}
          />
        ))}
        {start + WINDOW < nodes.length && (
          <button type="button" onClick={() => (first.value = start + WINDOW / 2)}>
            Later…
          </button>
        )}
      </div>
      {opened.value && (
        <Choices
          run={run}
          node={opened.value.node}
          x={opened.value.x}
          y={opened.value.y}
          live={live}
          onShut={shut}
          onChoose={(token) => {
            const parent = run.parent.get(opened.value?.node ?? ROOT);
            opened.value = null;
            onChoose(parent, token);
          }}
        />
      )}
    </div>
  );
}

/** As it was given, or as the exact tokens that the model saw. */
function Prompt({ run, marks }: { run: Run; marks: boolean }) {
  const { text, tokens, messages } = run.header.prompt;
  if (marks && tokens.length > 0) return <span class="prompt">{tokens.map((t) => visible(t.text)).join('')}</span>;
  if (!messages?.length) return <span class="prompt">{text}</span>;
  return (
    <span class="prompt">
      {messages.map((m, i) => (
        <span key={i}>
          <b>{m.role}</b> {m.content}
          {'\n'}
        </span>
      ))}
      <b>assistant</b>{' '}
    </span>
  );
}

interface TokenProps {
  run: Run;
  piece: Piece;
  metric: Metric;
  stop: boolean;
  onOpen: (element: Element) => void;
}

function Token({ run, piece, metric, stop, onOpen }: TokenProps) {
  const { node, text, name } = piece;
  const t = level(metric, metricOf(run, node, metric));
  const p = chance(run, node);
  const classes = ['tok'];
  if (store.anchor.value === node) classes.push('chosen');
  if (store.selected.value === node) classes.push('selected');
  if (run.byUser.get(node) === 1) classes.push('user');
  const isCut = run.isCut(node);
  if (isCut) classes.push('cut');
  // Not a button element: that is a box of its own, in which a line feed breaks no line of the text.
  return (
    <span
      role="button"
      class={classes.join(' ')}
      data-node={node}
      tabIndex={stop ? 0 : -1}
      style={isCut ? {} : { background: colourAt(t), color: inkOn(t) }}
      title={`${p} · ${chanceBits(run, node)}`}
      aria-label={`${name}, ${p}: alternatives`}
      onClick={(e) => onOpen(e.currentTarget)}
      onMouseEnter={() => (store.hovered.value = node)}
      onMouseLeave={() => (store.hovered.value = NONE)}
    >
      {/^\n+$/.test(text) ? text.replaceAll('\n', '⏎\n') : text}
    </span>
  );
}

/** The scale, with what its ends mean. */
function Legend({ metric }: { metric: Metric }) {
  const ends = { surprisal: ['0', '6+'], probability: ['100', '0'], rank: ['1', '100+'], entropy: ['0', '6+'] }[metric];
  const stops = [0, 0.25, 0.5, 0.75, 1].map((t) => colourAt(t)).join(', ');
  return (
    <span class="legend">
      {ends[0]}
      <span class="scale" style={{ background: `linear-gradient(to right, ${stops})` }} />
      {ends[1]} {METRIC_UNITS[metric]}
    </span>
  );
}

function download(text: string): void {
  const url = URL.createObjectURL(new Blob([text], { type: 'text/plain' }));
  const a = document.createElement('a');
  a.href = url;
  a.download = 'path.txt';
  a.click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}
