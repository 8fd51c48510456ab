// The tree as rows of text: the accessible twin of the canvases.

import { useSignal } from '@preact/signals';
import { useEffect, useLayoutEffect, useMemo, useRef } from 'preact/hooks';
import { colourAt } from '../lib/colours';
import { level, metricOf, perplexity } from '../lib/metrics';
import { fixed, percent, visible } from '../lib/numbers';
import { beginning, type Row, rowOf, rows, shift } from '../lib/outline';
import { ROOT, type Run } from '../lib/run';
import { type Segment, tokenCount } from '../lib/segments';
import { chance, massBits, reason } from '../lib/words';
import * as store from '../state/store';
import { useCalmRevision } from './useCalmRevision';
import { bringIntoSight, inSight, useWindow } from './useWindow';
import './lists.css';

const ROW = 28;
/** Deeper levels are not indented further: the text must stay readable. */
const MAX_INDENT = 24;
/** Characters of a row's text: a merged run may be thousands of tokens long. */
const MAX_TEXT = 400;

export function OutlineView() {
  const run = store.runDocument.value?.run;
  const closed = useSignal<ReadonlySet<number>>(new Set());
  const sight = useWindow();
  const revision = useCalmRevision();
  const filter = { minMass: store.minMass.value, minProb: store.minProb.value, closed: closed.value };
  const list = useMemo(
    () => (run ? rows(run, filter) : []),
    [run, revision, filter.minMass, filter.minProb, filter.closed],
  );
  const at = useMemo(() => (run ? rowOf(run, list, store.selected.value) : 0), [run, list, store.selected.value]);
  const onPath = useMemo(() => new Set([ROOT, ...store.path.value]), [store.path.value]);
  // While rows come in above, those in sight stay where they are.
  const drawn = useRef<Row[]>(list);
  useLayoutEffect(() => {
    const before = drawn.current;
    drawn.current = list;
    const element = sight.box.current;
    if (!element || element.scrollTop < ROW) return;
    const moved = shift(before, list, Math.floor(element.scrollTop / ROW));
    if (moved === 0) return;
    element.scrollTop += moved * ROW;
    sight.top.value = element.scrollTop;
  }, [list]);
  // Only a new selection moves the view, not the growth of the run above it.
  const row = list[at];
  const here = row?.kind === 'segment' ? row.segment.first : ROOT;
  useEffect(() => bringIntoSight(sight, at, ROW), [here]);
  if (!run) return null;
  const [from, to] = inSight(sight, list.length, ROW);

  const toggle = (first: number, open: boolean) => {
    const next = new Set(closed.value);
    if (open) next.delete(first);
    else next.add(first);
    closed.value = next;
  };
  const move = (start: number, step: number) => {
    for (let i = start; i >= 0 && i < list.length; i += step) {
      const r = list[i]!;
      if (r.kind === 'segment') {
        store.select(r.segment.first);
        return;
      }
    }
  };
  const onKey = (e: KeyboardEvent) => {
    if (row?.kind !== 'segment') return;
    const { first } = row.segment;
    const actions: Record<string, () => void> = {
      ArrowDown: () => move(at + 1, 1),
      ArrowUp: () => move(at - 1, -1),
      Home: () => move(0, 1),
      End: () => move(list.length - 1, -1),
      ArrowRight: () => (row.hasChildren && !row.open ? toggle(first, true) : move(at + 1, 1)),
      ArrowLeft: () => (row.open ? toggle(first, false) : store.select(Math.max(ROOT, run.parent.get(first)))),
      Enter: () => store.reroute(first),
    };
    const action = actions[e.key];
    if (!action) return;
    e.preventDefault();
    action();
  };
  return (
    <div class="list outline">
      <div class="head" aria-hidden="true">
        <span>Text</span>
        <span class="num">First token</span>
        <span class="num">Path</span>
        <span class="num">Perplexity</span>
        <span class="num">Tokens</span>
        <span>Ends</span>
      </div>
      <div
        class="scroll"
        ref={sight.box}
        role="treegrid"
        aria-label="Outline of the tree"
        aria-rowcount={list.length}
        {...(at >= from && at < to ? { 'aria-activedescendant': `row-${at}` } : {})}
        style={{ overflowAnchor: 'none' }}
        tabIndex={0}
        onKeyDown={onKey}
      >
        <div role="presentation" style={{ height: `${list.length * ROW}px` }} />
        {list.slice(from, to).map((row, i) => {
          const index = from + i;
          const place = { top: `${index * ROW}px` };
          const indent = { paddingLeft: `${Math.min(row.level, MAX_INDENT) * 14}px` };
          if (row.kind === 'other') {
            return (
              <div
                key={`other-${row.after}`}
                class="line other"
                style={place}
                role="row"
                aria-rowindex={index + 1}
                aria-level={row.level + 1}
              >
                <span role="gridcell" style={indent}>
                  other
                </span>
                <span role="gridcell" class="num">
                  {percent(row.prob)}
                </span>
              </div>
            );
          }
          const s = row.segment;
          const classes = ['line'];
          if (onPath.has(s.first)) classes.push('on-path');
          if (index === at) classes.push('selected');
          if (run.isCut(s.first)) classes.push('cut');
          return (
            <div
              key={s.first}
              id={`row-${index}`}
              class={classes.join(' ')}
              style={place}
              role="row"
              tabIndex={-1}
              aria-rowindex={index + 1}
              aria-level={row.level + 1}
              aria-selected={index === at}
              {...(row.hasChildren ? { 'aria-expanded': row.open } : {})}
              onClick={() => store.select(s.first)}
              onDblClick={() => toggle(s.first, !row.open)}
            >
              <Cells run={run} segment={s} indent={indent} twist={row.hasChildren ? (row.open ? '▾' : '▸') : ''} />
            </div>
          );
        })}
      </div>
    </div>
  );
}

interface CellsProps {
  run: Run;
  segment: Segment;
  indent: { paddingLeft: string };
  twist: string;
}

function Cells({ run, segment: s, indent, twist }: CellsProps) {
  const value = metricOf(run, s.first, store.metric.value);
  const isRoot = s.first === ROOT;
  const text = beginning(run, s, MAX_TEXT);
  return (
    <>
      <span role="gridcell" class="what" style={indent}>
        <span class="twist" aria-hidden="true">
          {twist}
        </span>
        <span class="chip" style={{ background: colourAt(isRoot ? Number.NaN : level(store.metric.value, value)) }} />
        {visibleIf(text)}
      </span>
      <span role="gridcell" class="num">
        {isRoot ? '' : chance(run, s.first)}
      </span>
      <span role="gridcell" class="num">
        {isRoot ? '' : massBits(run, s.last)}
      </span>
      <span role="gridcell" class="num">
        {isRoot ? '' : fixed(perplexity(run, ROOT, s.last), 2)}
      </span>
      <span role="gridcell" class="num">
        {isRoot ? '' : tokenCount(run, s)}
      </span>
      <span role="gridcell">{reason(run, s.last)}</span>
    </>
  );
}

/** A row is one line, so line feeds are always marked. */
const visibleIf = (text: string): string =>
  store.marks.value ? visible(text) : text.replace(/\n/g, '⏎').replace(/\t/g, '⇥');
