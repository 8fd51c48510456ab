// What the canvases leave out and what they mark: sliders and a search box.

import { type Signal, useSignal } from '@preact/signals';
import type { RefObject } from 'preact';
import { count, percent } from '../lib/numbers';
import { NONE } from '../lib/run';
import { minMass, minProb, query, select } from '../state/store';
import type { Finder } from './tree/finder';
import './canvas.css';

/** A view that is searched. */
export interface Searchable {
  readonly finder: Finder;
  /** Goes to the next hit (1) or the one before (-1): the first node of its segment, or NONE. */
  searchStep: (by: 1 | -1) => number;
}

const STEPS = 100;

interface SliderProps {
  label: string;
  title: string;
  value: Signal<number>;
  /** The least value but 0, as a power of ten. */
  least: number;
}

/** A slider on a log scale; its left end is "show everything". */
function LogSlider({ label, title, value, least }: SliderProps) {
  const v = value.value;
  const at = v <= 0 ? 0 : Math.max(1, Math.round(STEPS * (1 - Math.log10(v) / least)));
  const text = v <= 0 ? 'all' : `≥ ${percent(v)}`;
  return (
    <label class="canvas-slider" title={title}>
      <span>{label}</span>
      <input
        type="range"
        min={0}
        max={STEPS}
        value={at}
        aria-valuetext={text}
        onInput={(e) => {
          const i = Number(e.currentTarget.value);
          value.value = i === 0 ? 0 : 10 ** (least * (1 - i / STEPS));
        }}
      />
      <output>{text}</output>
    </label>
  );
}

/** What is left out, folded: most people want to see everything first. */
export function Filters() {
  const open = useSignal(false);
  const on = minProb.value > 0 || minMass.value > 0;
  return (
    <div
      class="menu-place"
      onKeyDown={(e) => {
        if (e.key !== 'Escape' || !open.value) return;
        open.value = false;
        e.preventDefault();
        e.stopPropagation();
      }}
    >
      <button
        type="button"
        class="small"
        aria-expanded={open.value}
        aria-pressed={on}
        onClick={() => (open.value = !open.value)}
      >
        {on ? 'Leaving out' : 'Leave out'}
      </button>
      {open.value && (
        <div class="menu filters">
          <LogSlider
            label="Probability"
            title="Least probability of a branch's first token"
            value={minProb}
            least={-5}
          />
          <LogSlider label="Whole path" title="Least probability of the whole path" value={minMass} least={-12} />
        </div>
      )}
    </div>
  );
}

interface SearchProps {
  view: Searchable;
  box: RefObject<HTMLInputElement | null>;
  onLeave: () => void;
}

export function SearchBox({ view, box, onLeave }: SearchProps) {
  const { hits, at } = view.finder.found.value;
  const step = (by: 1 | -1) => {
    const n = view.searchStep(by);
    if (n !== NONE) select(n);
  };
  return (
    <search class="group">
      <input
        ref={box}
        type="search"
        placeholder="Search"
        aria-label="Search the run"
        value={query.value}
        onInput={(e) => (query.value = e.currentTarget.value)}
        onKeyDown={(e) => {
          if (e.key === 'Enter') step(e.shiftKey ? -1 : 1);
          else if (e.key === 'Escape') onLeave();
          else return;
          e.preventDefault();
          e.stopPropagation();
        }}
      />
      {query.value !== '' && (
        <>
          <output class="canvas-hits">
            {at === NONE ? count(hits.length, 'hit') : `${at + 1} of ${count(hits.length, 'hit')}`}
          </output>
          <button type="button" aria-label="Previous hit" disabled={hits.length === 0} onClick={() => step(-1)}>
            ↑
          </button>
          <button type="button" aria-label="Next hit" disabled={hits.length === 0} onClick={() => step(1)}>
            ↓
          </button>
        </>
      )}
    </search>
  );
}
