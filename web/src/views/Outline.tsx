// The tree as rows of text: the accessible twin of the canvases.

import { useSignal } from '@preact/signals';
import { useEffect, useLayoutEffect, useMemo, useRef } from 'preact/hooks';
import { colourAt } from '../lib/colours';
import { level, metricOf, perplexity } from '../lib/metrics';
import { bare, fixed, percent } from '../lib/numbers';
import { BITS } from '../lib/metrics';
import { beginning, type Rest, type Row, rowOf, rows, shift } from '../lib/outline';
import { ROOT, type Run } from '../lib/run';
import { type Segment, tokenCount } from '../lib/segments';
import { inThought } from '../lib/thought';
import { oneLine } from '../lib/visible';
import { chance, reason } from '../lib/words';
import { scheme } from '../state/prefs';
import * as store from '../state/store';
import { useCalmRevision } from './useCalmRevision';
import { bringIntoSight, inSight, useWindow } from './useWindow';
import { ViewBar } from './ViewBar';
import { Filters } from './Filters';
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
    // Keys may come faster than the rows are drawn.
    const at = rowOf(run, list, store.selected.peek());
    const row = list[at];
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
    <>
      <ViewBar>
        <Filters />
        <button
          type="button"
          class="small"
          disabled={closed.value.size === 0}
          onClick={() => (closed.value = new Set())}
        >
          Open all
        </button>
      </ViewBar>
      <div class="view list outline" id="view" role="tabpanel" aria-labelledby="tab-outline">
        <div
          class="grid"
          role="treegrid"
          aria-label="Outline of the tree"
          aria-rowcount={list.length + 1}
          aria-colcount={6}
          {...(at >= from && at < to ? { 'aria-activedescendant': `row-${at}` } : {})}
          tabIndex={0}
          onKeyDown={onKey}
        >
          <div class="head" role="row" aria-rowindex={1}>
            <span role="columnheader">Text</span>
            <span role="columnheader" class="num" title="Probability of the row's first token where it branches off">
              First token
            </span>
            <span role="columnheader" class="num" title="Surprisal of the whole path, to the end of the row">
              Path, bits
            </span>
            <span role="columnheader" class="num" title="Of the whole path">
              Perplexity
            </span>
            <span role="columnheader" class="num">
              Tokens
            </span>
            <span role="columnheader" title="Why the path goes no further">
              Then
            </span>
          </div>
          <div class="scroll" ref={sight.box} role="rowgroup" style={{ overflowAnchor: 'none' }}>
            <div role="presentation" style={{ height: `${list.length * ROW}px` }} />
            {list.slice(from, to).map((row, i) => {
              const index = from + i;
              const place = { top: `${index * ROW}px` };
              const indent = { paddingLeft: `${Math.min(row.level, MAX_INDENT) * 14}px` };
              if (row.kind === 'other') {
                const text = restsInWords(run, row.rests);
                return (
                  <div
                    key={`other-${row.rests[0]!.after}`}
                    class="line other"
                    style={place}
                    role="row"
                    title={`Not followed: ${text}`}
                    aria-rowindex={index + 2}
                    aria-level={row.level + 1}
                  >
                    <span role="gridcell" class="what" style={indent}>
                      <span class="twist" />
                      other{row.rests.length > 1 && `: ${text}`}
                    </span>
                    <span role="gridcell" class="num">
                      {row.rests.length === 1 && percent(row.rests[0]!.prob)}
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
                  title={oneLine(beginning(run, s, MAX_TEXT), false)}
                  aria-rowindex={index + 2}
                  aria-level={row.level + 1}
                  aria-selected={index === at}
                  {...(row.hasChildren ? { 'aria-expanded': row.open } : {})}
                  onClick={(e) => {
                    // The triangle opens and closes, all the rest selects.
                    if (row.hasChildren && (e.target as HTMLElement).closest('.twist')) toggle(s.first, !row.open);
                    else store.select(s.first);
                  }}
                  onDblClick={(e) => {
                    if (!(e.target as HTMLElement).closest('.twist')) toggle(s.first, !row.open);
                  }}
                >
                  <Cells run={run} segment={s} indent={indent} twist={row.hasChildren ? (row.open ? '▾' : '▸') : ''} />
                </div>
              );
            })}
          </div>
        </div>
      </div>
    </>
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
        <span
          class="chip"
          style={{ background: colourAt(isRoot ? Number.NaN : level(store.metric.value, value), scheme.value) }}
        />
        <bdi class={inThought(run, s.first) ? 'thought' : undefined}>{oneLine(text, store.marks.value)}</bdi>
      </span>
      <span role="gridcell" class="num">
        {isRoot ? '' : chance(run, s.first)}
      </span>
      <span role="gridcell" class="num">
        {isRoot ? '' : `${run.isPathRough(s.last) ? '≈ ' : ''}${bare(-run.pathLogprobOf(s.last) * BITS)}`}
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

/** What each of the levels that end here left. */
const restsInWords = (run: Run, rests: Rest[]): string =>
  rests
    .map(
      ({ after, prob }) =>
        `${percent(prob)} after “${after === ROOT ? 'the prompt' : oneLine(run.nodeText(after), false).trim()}”`,
    )
    .join(', ');
