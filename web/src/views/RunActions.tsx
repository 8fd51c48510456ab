// What can be done with the shown run: run it again, share it, take it along in another format.

import { signal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { harmless } from '../lib/visible';
import type { Run } from '../lib/run';
import * as api from '../state/api';
import { again } from '../state/draft';
import * as live from '../state/live';
import { current, runDocument, view } from '../state/store';
import { framed } from '../state/host';
import { copyText, saveFrom, savePicture, saveReport, saveTextPicture, saveTreePicture } from '../state/share';
import { Menu } from './Menu';

const FORMATS: [string, string][] = [
  ['tree-json', 'Tree JSON'],
  ['jsonl', 'Logprobs JSONL'],
  ['csv', 'CSV'],
  ['parquet', 'Parquet'],
  ['dot', 'Graphviz'],
  ['graphml', 'GraphML'],
  ['mermaid', 'Mermaid'],
  ['text', 'Text'],
];

export function RunActions() {
  const document = current.value;
  const id = document?.key.startsWith('server:') ? document.key.slice('server:'.length) : null;
  const run = runDocument.value?.run;
  /** Records are of finished paths: without any, the file would be empty. */
  const finished = live.status.value?.completed ?? 0;
  return (
    <>
      {run && <About run={run} />}
      {run && <Grow run={run} />}
      <Menu label="Share">
        {(close) => (
          <>
            {run && (
              <>
                <Item onClick={() => saveTextPicture(run)} close={close}>
                  Picture of the text (SVG)
                </Item>
                {view.value === 'tree' && (
                  <Item onClick={saveTreePicture} close={close}>
                    Picture of the tree (SVG)
                  </Item>
                )}
                {(view.value === 'tree' || view.value === 'ribbon') && (
                  <Item onClick={savePicture} close={close}>
                    Picture of the {view.value} (PNG)
                  </Item>
                )}
              </>
            )}
            {id && (
              <>
                {!framed && (
                  <Item
                    onClick={() =>
                      copyText(
                        location.href,
                        `Copied. A colleague also needs the link with the token that “logitree serve” printed: it lets them in once, then this one works.`,
                      )
                    }
                    close={close}
                  >
                    Copy a link to this place
                  </Item>
                )}
                {run && (
                  <Item onClick={() => void live.attempt(() => saveReport(id))} close={close}>
                    HTML report
                  </Item>
                )}
                <Download path={api.contentOf(id)} close={close}>
                  {run ? 'Run file' : 'File'}
                </Download>
                {run &&
                  FORMATS.map(([format, name]) =>
                    format === 'jsonl' && finished === 0 ? (
                      <span key={format} class="dim nothing">
                        {name}: no path has finished
                      </span>
                    ) : (
                      <Download key={format} path={api.exportOf(id, format)} close={close}>
                        {name}
                      </Download>
                    ),
                  )}
              </>
            )}
            {!id && !run && <span class="dim">Nothing to share</span>}
          </>
        )}
      </Menu>
    </>
  );
}

interface ItemProps {
  onClick: () => void;
  close: () => void;
  children: preact.ComponentChildren;
}

function Item({ onClick, close, children }: ItemProps) {
  return (
    <button
      type="button"
      role="menuitem"
      onClick={() => {
        close();
        onClick();
      }}
    >
      {children}
    </button>
  );
}

interface DownloadProps {
  path: string;
  close: () => void;
  children: preact.ComponentChildren;
}

/** A file of the server. In a frame it has no address that the browser could fetch. */
function Download({ path, close, children }: DownloadProps) {
  if (framed)
    return (
      <Item onClick={() => live.attempt(() => saveFrom(path))} close={close}>
        {children}
      </Item>
    );
  return (
    <a role="menuitem" href={path} download onClick={close}>
      {children}
    </a>
  );
}

/** What running it again is called; null where the form cannot say what it was made of. */
export function againWords(run: Run): string | null {
  const model = live.server.value?.model;
  if (!model || !canBeAgain(run)) return null;
  return live.canGoOn() ? 'Again, with changes' : `Grow this with ${model.name}`;
}

/** Runs it again with changes; of a file that no model here has made, the prompt is grown with the one that is loaded. */
function Grow({ run }: { run: Run }) {
  const words = againWords(run);
  if (words === null) return null;
  const title = live.canGoOn()
    ? 'The form of a new run, filled with what this one was made of'
    : `The same prompt, with the model that is loaded: ${live.server.value?.model?.name}`;
  return (
    <button type="button" class="again" title={title} onClick={() => again(run.header)}>
      {words}
    </button>
  );
}

/** Whether the form can say what the run was made of: it has no control tokens by name, and only what the server has. */
function canBeAgain({ header: { prompt, strategy } }: Run): boolean {
  const { model = null, strategies = {} } = live.server.value ?? {};
  return prompt.special !== true && (!prompt.chat || model?.chat === true) && Object.hasOwn(strategies, strategy);
}

/** Whether it is shown what was run. */
export const isAboutOpen = signal(false);

/** What was run, as the header says it. */
function About({ run }: { run: Run }) {
  const open = isAboutOpen;
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => {
    open.value = false;
  }, [run]);
  useEffect(() => {
    if (open.value) box.current?.querySelector<HTMLElement>('.menu button')?.focus();
  }, [open.value]);
  const close = () => {
    open.value = false;
    const own = box.current?.querySelector<HTMLElement>('button');
    // Where the bar has no room for the button, the menu that has it stands in for it.
    if (own?.offsetParent) own.focus();
    else document.querySelector<HTMLElement>('.bar [aria-label="More"]')?.focus();
  };
  return (
    <div
      class="menu-place about"
      ref={box}
      onKeyDown={(e) => {
        if (e.key !== 'Escape' || !open.value) return;
        close();
        e.preventDefault();
      }}
    >
      <button type="button" aria-expanded={open.value} onClick={() => (open.value = !open.value)}>
        About
      </button>
      {open.value && (
        <div class="menu" role="dialog" aria-label="About this run">
          <dl>
            {about(run).map(([name, value]) => (
              <div key={name}>
                <dt>{harmless(name)}</dt>
                <dd>{harmless(value)}</dd>
              </div>
            ))}
          </dl>
          <button type="button" class="small" onClick={close}>
            Close
          </button>
        </div>
      )}
    </div>
  );
}

function about(run: Run): [string, string][] {
  const h = run.header;
  const text = (value: unknown) => (typeof value === 'string' ? value : (JSON.stringify(value) ?? ''));
  const fixed: [string, string][] = [
    ['model', [h.model.name, h.model.dtype].filter(Boolean).join(' · ')],
    ['engine', h.engine],
    ['strategy', h.strategy],
  ];
  const given = Object.entries({ ...h.parameters, ...run.limits }).map(([k, v]): [string, string] => [k, text(v)]);
  const variables = Object.entries(h.prompt.template_args ?? {});
  return [...fixed, ...given, ...variables.map(([k, v]): [string, string] => [`template: ${k}`, text(v)])];
}
