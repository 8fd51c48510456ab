// Numbers of the path and of the run as curves, one below the other.

import { effect, useSignal } from '@preact/signals';
import { useLayoutEffect, useMemo, useRef } from 'preact/hooks';
import { neighbour, searchSeries, type Step } from '../lib/curves';
import { NONE, type Run } from '../lib/run';
import { hovered, path, revision, runDocument, select, selected } from '../state/store';
import { HistogramChart } from './curves/HistogramChart';
import { PathCharts } from './curves/PathCharts';
import { SearchChart } from './curves/SearchChart';
import { tokenLine } from './curves/words';
import { ViewBar } from './ViewBar';
import './curves.css';

/** What goes through the whole run is computed at most this often while it grows, in milliseconds. */
const RECOUNT_EVERY = 250;

export function CurvesView() {
  const document = runDocument.value;
  if (!document) return null;
  return <RunCurves key={document.key} run={document.run} />;
}

function RunCurves({ run }: { run: Run }) {
  const box = useRef<HTMLDivElement>(null);
  const width = useSignal(0);
  const spoken = useSignal('');
  const slow = useSlowRevision();

  useLayoutEffect(() => {
    const it = box.current!;
    const measure = () => {
      const style = getComputedStyle(it);
      width.value = it.clientWidth - Number.parseFloat(style.paddingLeft) - Number.parseFloat(style.paddingRight);
    };
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(it);
    return () => {
      observer.disconnect();
      hovered.value = NONE;
    };
  }, []);

  const nodes = path.value;
  // The run itself stays the same object while it grows.
  const search = useMemo(() => searchSeries(run), [run, slow]);
  const onStep = (to: Step) => {
    const n = neighbour(run, nodes, selected.peek(), to);
    if (n === NONE) return;
    select(n);
    spoken.value = tokenLine(run, n);
  };
  // Narrower, a chart would be all axes.
  const w = Math.max(240, width.value);
  return (
    <>
      <ViewBar />
      <div class="view curves" ref={box} id="view" role="tabpanel" aria-labelledby="tab-curves" tabIndex={0}>
        {width.value > 0 && nodes.length > 0 && (
          <>
            <PathCharts run={run} nodes={nodes} width={w} onStep={onStep} />
            {search && <SearchChart run={run} series={search} width={w} onStep={onStep} />}
            <HistogramChart run={run} nodes={nodes} revision={slow} width={w} onStep={onStep} />
          </>
        )}
        {nodes.length === 0 && <p class="curves-empty">Choose a path with at least one token.</p>}
        <div class="unseen" aria-live="polite">
          {spoken.value}
        </div>
      </div>
    </>
  );
}

/** The store's revision, but not with every frame. */
function useSlowRevision(): number {
  const slow = useSignal(revision.peek());
  useLayoutEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const end = effect(() => {
      const now = revision.value;
      if (now === slow.peek() || timer !== undefined) return;
      timer = setTimeout(() => {
        timer = undefined;
        slow.value = revision.peek();
      }, RECOUNT_EVERY);
    });
    return () => {
      end();
      clearTimeout(timer);
    };
  }, []);
  return slow.value;
}
