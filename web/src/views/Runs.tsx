// Runs of the server and files that were opened here.

import { useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { count } from '../lib/numbers';
import { harmless } from '../lib/visible';
import { when } from '../lib/when';
import * as api from '../state/api';
import * as live from '../state/live';
import { narrow, showRuns } from '../state/prefs';
import { close, current, documents, page, showDocument } from '../state/store';
import { Menu } from './Menu';

/** A longer list has a box to search it. */
const MANY = 6;

export function Runs() {
  const wanted = useSignal('');
  const files = documents.value.filter((d) => !d.key.startsWith('server:'));
  const words = wanted.value.toLowerCase();
  const all = live.runs.value;
  const shown = all.filter((r) => `${r.name}\n${r.prompt}\n${r.model}`.toLowerCase().includes(words));
  const show = (work: () => void) => {
    work();
    page.value = 'run';
    if (narrow.peek()) showRuns.value = false;
  };
  return (
    <>
      {live.server.value && (
        <section>
          <h2>Runs</h2>
          {all.length > MANY && (
            <input
              type="search"
              placeholder={`Search ${all.length} runs`}
              aria-label="Search the runs"
              value={wanted.value}
              onInput={(e) => (wanted.value = e.currentTarget.value)}
            />
          )}
          {all.length === 0 && <p class="dim">None yet: write a prompt, or drop a file.</p>}
          <ul>
            {shown.map((r) => (
              <Row key={r.id} info={r} onShow={() => show(() => void live.attempt(() => live.show(r.id)))} />
            ))}
          </ul>
        </section>
      )}
      {files.length > 0 && (
        <section>
          <h2>Files</h2>
          <ul>
            {files.map((d) => (
              <li key={d.key} class="run">
                <button
                  type="button"
                  class="name"
                  aria-current={current.value === d}
                  title={harmless(d.name)}
                  onClick={() =>
                    show(() => {
                      live.leave();
                      showDocument(d.key);
                    })
                  }
                >
                  <bdi>{harmless(d.name)}</bdi>
                </button>
                <button
                  type="button"
                  class="icon"
                  onClick={() => close(d.key)}
                  aria-label={`Close ${harmless(d.name)}`}
                >
                  ×
                </button>
              </li>
            ))}
          </ul>
        </section>
      )}
    </>
  );
}

function Row({ info, onShow }: { info: api.Info; onShow: () => void }) {
  const mode = useSignal<'' | 'rename' | 'delete'>('');
  const box = useRef<HTMLLIElement>(null);
  const isShown = current.value?.key === `server:${info.id}`;
  const name = harmless(info.name);
  // What opens takes the focus; what closes gives it back to the row.
  const before = useRef(mode.value);
  useEffect(() => {
    const selector = { rename: 'input', delete: '.danger', '': '.name' }[mode.value];
    if (before.current !== mode.value) box.current?.querySelector<HTMLElement>(selector)?.focus();
    before.current = mode.value;
  }, [mode.value]);
  const rename = async (to: string) => {
    mode.value = '';
    if (to.trim() && to.trim() !== info.name) await live.attempt(() => api.rename(info.id, to.trim()));
    await live.attempt(live.refresh);
  };
  const remove = async () => {
    const list = box.current?.parentElement;
    if (await live.attempt(() => api.remove(info.id))) live.forget(info.id);
    await live.attempt(live.refresh);
    list?.querySelector<HTMLElement>('.name')?.focus();
  };
  const onKey = (e: KeyboardEvent) => {
    if (e.key !== 'Escape' || mode.value === '') return;
    mode.value = '';
    e.preventDefault();
  };
  return (
    <li class="run" ref={box} onKeyDown={onKey}>
      {mode.value === 'rename' ? (
        <form
          onSubmit={(e) => {
            e.preventDefault();
            rename(new FormData(e.currentTarget).get('name') as string);
          }}
        >
          <input name="name" aria-label="New name" maxLength={200} value={info.name} />
          <button type="submit" class="small">
            Rename
          </button>
        </form>
      ) : (
        <button type="button" class="name" aria-current={isShown} title={name} onClick={onShow}>
          <bdi>{name}</bdi>
          <small>{about(info)}</small>
        </button>
      )}
      <Menu label={`More about ${name}`} sign="⋯" class="icon">
        {(close) => (
          <>
            <button
              type="button"
              role="menuitem"
              onClick={() => {
                close();
                mode.value = 'rename';
              }}
            >
              Rename
            </button>
            <button
              type="button"
              role="menuitem"
              onClick={() => {
                close();
                live.act(info.id, 'duplicate');
              }}
            >
              Duplicate
            </button>
            <button
              type="button"
              role="menuitem"
              onClick={() => {
                close();
                mode.value = 'delete';
              }}
            >
              Delete
            </button>
          </>
        )}
      </Menu>
      {mode.value === 'delete' && (
        <div class="ask" role="alertdialog" aria-label={`Delete ${name}?`}>
          <span>Delete the file for good?</span>
          <button type="button" class="danger small" onClick={remove}>
            Delete
          </button>
          <button type="button" class="small" onClick={() => (mode.value = '')}>
            Keep
          </button>
        </div>
      )}
    </li>
  );
}

const about = (r: api.Info): string =>
  r.kind === 'records'
    ? 'records'
    : [r.strategy, count(r.status.nodes, 'node'), r.status.state, when(r.created)].filter(Boolean).join(' · ');
