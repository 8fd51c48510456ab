// Runs of the server and files that were opened here.

import { useSignal } from '@preact/signals';
import { count } from '../lib/numbers';
import * as api from '../state/api';
import * as live from '../state/live';
import { close, current, documents, showDocument } from '../state/store';

const FORMATS: [string, string][] = [
  ['tree-json', 'Tree JSON'],
  ['jsonl', 'Logprobs JSONL'],
  ['csv', 'CSV'],
  ['parquet', 'Parquet'],
  ['dot', 'Graphviz'],
  ['html', 'HTML report'],
  ['text', 'Text'],
];

export function Runs() {
  const files = documents.value.filter((d) => !d.key.startsWith('server:'));
  return (
    <>
      {live.server.value && (
        <section>
          <h2>Runs</h2>
          {live.runs.value.length === 0 && <p class="dim">None yet.</p>}
          <ul>
            {live.runs.value.map((r) => (
              <Row key={r.id} info={r} />
            ))}
          </ul>
        </section>
      )}
      {files.length > 0 && (
        <section>
          <h2>Files</h2>
          <ul>
            {files.map((d) => (
              <li key={d.key}>
                <button
                  type="button"
                  class="name"
                  aria-current={current.value === d}
                  onClick={() => {
                    live.leave();
                    showDocument(d.key);
                  }}
                >
                  {d.name}
                </button>
                <button type="button" class="small" onClick={() => close(d.key)} aria-label={`Close ${d.name}`}>
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

function Row({ info }: { info: api.Info }) {
  const mode = useSignal<'' | 'menu' | 'rename' | 'delete'>('');
  const isShown = current.value?.key === `server:${info.id}`;
  const rename = async (name: string) => {
    mode.value = '';
    if (name.trim() && name.trim() !== info.name) await live.attempt(() => api.rename(info.id, name.trim()));
    await live.attempt(live.refresh);
  };
  return (
    <li class="run">
      <div class="run-row">
        {mode.value === 'rename' ? (
          <form
            onSubmit={(e) => {
              e.preventDefault();
              rename(new FormData(e.currentTarget).get('name') as string);
            }}
          >
            <input
              name="name"
              aria-label="New name"
              maxLength={200}
              value={info.name}
              onKeyDown={(e) => {
                if (e.key === 'Escape') mode.value = '';
              }}
            />
            <button type="submit" class="small">
              Rename
            </button>
          </form>
        ) : (
          <button
            type="button"
            class="name"
            aria-current={isShown}
            onClick={() => live.attempt(() => live.show(info.id))}
          >
            {info.name}
            <small>
              {info.kind === 'records'
                ? 'records'
                : `${info.strategy} · ${count(info.status.nodes, 'node')} · ${info.status.state}`}
            </small>
          </button>
        )}
        <button
          type="button"
          class="small"
          aria-expanded={mode.value === 'menu'}
          aria-label={`More about ${info.name}`}
          onClick={() => (mode.value = mode.value === 'menu' ? '' : 'menu')}
        >
          ⋯
        </button>
      </div>
      {mode.value === 'menu' && (
        <div class="menu">
          <button type="button" onClick={() => (mode.value = 'rename')}>
            Rename
          </button>
          <button
            type="button"
            onClick={() => {
              mode.value = '';
              live.act(info.id, 'duplicate');
            }}
          >
            Duplicate
          </button>
          <button type="button" onClick={() => (mode.value = 'delete')}>
            Delete
          </button>
          <a href={api.contentOf(info.id)} download>
            {info.kind === 'run' ? 'Run file' : 'File'}
          </a>
          {info.kind === 'run' &&
            FORMATS.map(([format, name]) => (
              <a key={format} href={api.exportOf(info.id, format)} download>
                {name}
              </a>
            ))}
        </div>
      )}
      {mode.value === 'delete' && (
        <div class="menu" role="alertdialog" aria-label={`Delete ${info.name}?`}>
          <span>Delete the file for good?</span>
          <button
            type="button"
            class="danger"
            onClick={async () => {
              if (await live.attempt(() => api.remove(info.id))) live.forget(info.id);
              await live.attempt(live.refresh);
            }}
          >
            Delete
          </button>
          <button type="button" onClick={() => (mode.value = '')}>
            Keep
          </button>
        </div>
      )}
    </li>
  );
}
