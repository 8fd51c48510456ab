// The current path as flowing text: the headline of a run. Every token has alternatives.

import { useSignal } from '@preact/signals';
import { useEffect, useLayoutEffect, useRef } from 'preact/hooks';
import { pieces } from '../lib/pieces';
import { NONE, ROOT } from '../lib/run';
import { focusToken, openList } from '../state/keys';
import { isWriting } from '../state/live';
import { narrow } from '../state/prefs';
import { promptAt } from '../state/prompt';
import * as store from '../state/store';
import { HoverCard, type Hovering } from './text/HoverCard';
import { Prompt } from './text/Prompt';
import { Token } from './text/Token';
import { TextTools } from './text/Tools';
import './text.css';

/** Tokens shown at once: longer texts are shown in parts. */
const WINDOW = 1200;
/** Nearer to the end than this, in pixels, the reader is at the end. */
const NEAR = 40;
/** A token that was chosen comes within this time, in milliseconds. */
const AWAITED = 3000;
/** A pointer that rests so long, in milliseconds, wants to see the alternatives. */
const REST = 180;

interface Props {
  onChoose: (parent: number, token: number) => void;
  live: boolean;
}

export function TextView({ onChoose, live }: Props) {
  store.revision.value;
  const document = store.runDocument.value;
  const run = document?.run;
  const nodes = store.path.value;
  const first = useSignal(0);
  const over = useSignal<Hovering | null>(null);
  const flow = useRef<HTMLDivElement>(null);
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  /** Whether the reader is at the end; then the text is followed as it grows. */
  const atEnd = useRef(true);
  const below = useSignal(false);
  const last = nodes.at(-1) ?? ROOT;
  const place = nodes.indexOf(store.selected.value);

  // The selected token is always among those shown.
  useEffect(() => {
    if (place >= 0 && (place < first.value || place >= first.value + WINDOW)) {
      first.value = Math.max(0, place - WINDOW / 2);
    }
  }, [place]);
  useLayoutEffect(() => {
    const it = flow.current;
    if (!it || !isWriting.peek()) return;
    if (!atEnd.current) {
      below.value = it.scrollHeight - it.scrollTop - it.clientHeight > NEAR;
      return;
    }
    if (nodes.length > first.value + WINDOW) first.value = nodes.length - WINDOW;
    it.scrollTop = it.scrollHeight;
  }, [last]);
  useEffect(() => {
    flow.current?.querySelector('.tok.selected')?.scrollIntoView({ block: 'nearest' });
  }, [store.selected.value, store.anchor.value]);
  const inFlow = () => flow.current?.contains(globalThis.document.activeElement) === true;
  // A token that was chosen by a key gets the focus when it comes, unless the user has gone elsewhere meanwhile.
  const wanted = useRef({ times: 0, until: 0 });
  useEffect(() => {
    const now = performance.now();
    if (focusToken.value !== wanted.current.times) wanted.current = { times: focusToken.value, until: now + AWAITED };
    else if (now > wanted.current.until) return;
    else if (globalThis.document.activeElement !== globalThis.document.body && !inFlow()) return;
    flow.current?.querySelector<HTMLElement>('.tok.selected, .tok[tabindex="0"]')?.focus();
  }, [focusToken.value, store.selected.value, last]);
  useEffect(() => () => clearTimeout(timer.current), []);
  if (!run) return null;
  // The path may have become shorter than what was shown.
  const start = Math.min(first.value, Math.max(0, nodes.length - WINDOW));
  const shown = nodes.slice(start, start + WINDOW);

  const rest = (node: number, element: HTMLElement | null) => {
    clearTimeout(timer.current);
    store.hovered.value = element ? node : NONE;
    if (narrow.peek()) return;
    timer.current = setTimeout(
      () => {
        over.value = element && { node, box: element.getClientRects()[0] ?? element.getBoundingClientRect() };
      },
      element && over.peek() ? REST / 3 : REST,
    );
  };
  const onKey = (e: KeyboardEvent) => {
    const at = Number((e.target as HTMLElement).dataset.node ?? Number.NaN);
    if (Number.isNaN(at) || e.altKey || e.ctrlKey || e.metaKey) return;
    if (e.key === 'Enter' || e.key === ' ') {
      e.preventDefault();
      store.select(at);
      store.lookAfter.value = false;
      openList();
    }
    if (store.byHand.value) return;
    const to = { ArrowRight: 1, ArrowLeft: -1, Home: -nodes.length, End: nodes.length }[e.key];
    if (to === undefined) return;
    e.preventDefault();
    const next = nodes[Math.min(nodes.length - 1, Math.max(0, nodes.indexOf(at) + to))];
    if (next === undefined) return;
    store.select(next);
    requestAnimationFrame(() => flow.current?.querySelector<HTMLElement>(`[data-node="${next}"]`)?.focus());
  };
  // A character may have begun in the tokens before those shown.
  const lead = Math.min(start, 3);
  const parts = pieces(run, nodes.slice(start - lead, start + WINDOW), store.marks.value).slice(lead);
  const stop = place >= 0 ? store.selected.value : (shown[0] ?? NONE);
  const hand = store.byHand.value ? run.depth.get(store.selected.value) : Number.POSITIVE_INFINITY;
  return (
    <div class="text-view">
      <TextTools run={run} last={last} length={nodes.length} />
      <div
        class="text-flow"
        dir="auto"
        ref={flow}
        onKeyDown={onKey}
        onScroll={(e) => {
          const it = e.currentTarget;
          atEnd.current = it.scrollHeight - it.scrollTop - it.clientHeight < NEAR;
          if (atEnd.current) below.value = false;
          over.value = null;
        }}
      >
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
            stop={p.node === stop}
            after={run.depth.get(p.node) > hand}
            onOpen={() => {
              store.select(p.node);
              store.lookAfter.value = false;
              promptAt.value = -1;
              if (narrow.value) openList();
            }}
            onRest={rest}
          />
        ))}
        {isWriting.value && <span class="caret" aria-hidden="true" />}
        {start + WINDOW < nodes.length && (
          <button type="button" onClick={() => (first.value = start + WINDOW / 2)}>
            Later…
          </button>
        )}
      </div>
      {below.value && (
        <button
          type="button"
          class="new-text"
          onClick={() => {
            atEnd.current = true;
            below.value = false;
            first.value = Math.max(0, nodes.length - WINDOW);
            flow.current?.scrollTo({ top: flow.current.scrollHeight });
          }}
        >
          ↓ new text
        </button>
      )}
      {over.value && over.value.node < run.size && (
        <HoverCard
          run={run}
          at={over.value}
          live={live}
          onChoose={(token) => {
            const parent = run.parent.get(over.value?.node ?? ROOT);
            over.value = null;
            onChoose(parent, token);
          }}
          onStay={() => clearTimeout(timer.current)}
          onLeave={() => {
            clearTimeout(timer.current);
            timer.current = setTimeout(() => {
              over.value = null;
            }, REST);
          }}
        />
      )}
    </div>
  );
}
