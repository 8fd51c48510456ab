// The first screen: a prompt to grow, prompts to begin with, and runs to look at.

import { useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { inLabels, LIMITS, namedIn, parameterOf, problemOf, STRATEGIES } from '../lib/parameters';
import * as api from '../state/api';
import { change, DEPTH, draft, focusPrompt, setPrompt } from '../state/draft';
import * as live from '../state/live';
import { coming } from '../state/model';
import { Conversation, Variables } from './start/Conversation';
import { Field } from './start/Field';
import { Model } from './start/Model';
import { Samples } from './start/Samples';
import { Threshold } from './start/Threshold';
import { Tokens, useTokens } from './start/Tokens';
import './start.css';

const PROMPTS: [string, string][] = [
  ['A fact', 'The capital of India is'],
  ['A story', 'The old lighthouse keeper opened the door and saw'],
  ['A choice', 'Question: Is the number 91 prime? Answer yes or no.\nAnswer:'],
  ['A name', 'My favourite programming language is'],
  ['A sum', '17 + 25 ='],
  ['A recipe', 'To make a good cup of tea, first'],
];

export function Start() {
  const model = live.server.value?.model;
  return (
    <div class="start">
      <header>
        <h1>What could the model have said?</h1>
        <p>
          {model
            ? 'Write a beginning. The model goes on, along every likely way at once, and you see each word it could have chosen.'
            : 'Open a run to see every word that the model could have chosen. Drop files anywhere: run files, trees in JSON, logprobs in JSON Lines.'}
        </p>
      </header>
      {model && <Form model={model} />}
      <Samples />
    </div>
  );
}

function Form({ model }: { model: NonNullable<api.ServerInfo['model']> }) {
  const d = draft.value;
  const box = useRef<HTMLTextAreaElement>(null);
  const form = useRef<HTMLFormElement>(null);
  const busy = useSignal(false);
  /** What the server found wrong, until something is changed. */
  const wrong = useSignal('');
  const last = d.turns.length - 1;
  const chat = d.chat && model.chat;
  const turns = chat ? d.turns : d.turns.slice(-1);
  const prompt: api.Prompt = chat
    ? { messages: d.turns, ...(Object.keys(d.variables).length > 0 ? { chat_template_kwargs: d.variables } : {}) }
    : { prompt: d.turns[last]!.content };
  const isWhole = turns.every((t) => t.content !== '');
  const tokens = useTokens(prompt, isWhole, model.sha256);

  useEffect(() => {
    const it = box.current;
    it?.focus();
    it?.setSelectionRange(it.value.length, it.value.length);
  }, [focusPrompt.value]);
  useEffect(() => {
    wrong.value = '';
  }, [d]);

  const strategies = live.server.value?.strategies ?? {};
  const defaults = strategies[d.strategy] ?? {};
  const names = Object.keys(defaults).filter((k) => typeof defaults[k] === 'number');
  const textOf = (name: string) => d.values[name] ?? String(defaults[name]);
  const number = (name: string) => Number(textOf(name));
  const faults: Record<string, string> = {};
  for (const name of names) faults[name] = problemOf(parameterOf(name), textOf(name));
  if (number('min_branch_threshold') > number('max_branch_threshold'))
    faults.max_branch_threshold = 'not below the threshold while few paths are open';
  faults.max_nodes = d.nodes === '' ? '' : problemOf(LIMITS.max_nodes, d.nodes);
  faults.max_seconds = d.seconds === '' ? '' : problemOf(LIMITS.max_seconds, d.seconds);
  const told = namedIn(wrong.value);
  if (told) faults[told] ||= inLabels(wrong.value);
  const bad = Object.values(faults).some((f) => f !== '');
  const more = useSignal(d.strategy !== 'dynamic');

  const submit = async (e?: Event) => {
    e?.preventDefault();
    if (bad) more.value = true;
    if (busy.value || bad || !isWhole || coming.value) return;
    const parameters: Record<string, number> = {};
    for (const name of names) if (d.values[name] !== undefined) parameters[name] = number(name);
    const run: api.NewRun = { ...prompt, strategy: d.strategy, parameters };
    if (d.nodes !== '') run.max_nodes = Number(d.nodes);
    if (d.seconds !== '') run.max_seconds = Number(d.seconds);
    busy.value = true;
    try {
      await live.startRun(run);
    } catch (error) {
      wrong.value = (error as Error).message;
      if (namedIn(wrong.value)) more.value = true;
    } finally {
      busy.value = false;
    }
  };
  return (
    <form
      class="grow"
      ref={form}
      onSubmit={submit}
      aria-label="New run"
      noValidate
      onKeyDown={(e) => {
        if (e.key === 'Enter' && (e.ctrlKey || e.metaKey)) submit(e);
      }}
    >
      {chat ? (
        <>
          <Conversation turns={d.turns} />
          <Variables variables={d.variables} />
        </>
      ) : (
        <textarea
          ref={box}
          rows={3}
          aria-label="Prompt"
          placeholder="The capital of India is"
          dir="auto"
          value={d.turns[last]!.content}
          onInput={(e) =>
            change({ turns: [...d.turns.slice(0, -1), { ...d.turns[last]!, content: e.currentTarget.value }] })
          }
        />
      )}
      <div class="grow-row">
        <Tokens tokens={tokens.list} wrong={tokens.wrong} />
        <button
          type="submit"
          class="primary large"
          disabled={busy.value || !isWhole || coming.value !== null}
          title="Ctrl+Enter"
        >
          {busy.value ? 'Starting…' : 'Grow'}
        </button>
      </div>
      {wrong.value !== '' && !told && (
        <p class="bad" role="alert">
          {inLabels(wrong.value)}
        </p>
      )}
      <div class="grow-row">
        <ul class="prompts" aria-label="Prompts to begin with">
          {PROMPTS.map(([name, text]) => (
            <li key={name}>
              <button
                type="button"
                class="chip"
                title={text}
                onClick={() => {
                  setPrompt(text);
                  focusPrompt.value++;
                }}
              >
                {name}
              </button>
            </li>
          ))}
        </ul>
        <Model model={model} />
      </div>
      {model.chat && (
        <label class="check">
          <input type="checkbox" checked={d.chat} onChange={(e) => change({ chat: e.currentTarget.checked })} />
          As a conversation, in the model’s chat template
        </label>
      )}
      <details open={more.value} onToggle={(e) => (more.value = e.currentTarget.open)}>
        <summary>
          How far, and which way{' '}
          <span class="dim">
            {d.strategy} · depth {textOf('max_depth')} · {d.nodes === '' ? 'any number of' : d.nodes} nodes at most
          </span>
        </summary>
        <div class="fields">
          <Strategy names={Object.keys(strategies)} />
          {names.map((name) => (
            <Field
              key={name}
              name={name}
              about={parameterOf(name)}
              value={textOf(name)}
              fault={faults[name] ?? ''}
              onInput={(text) => change({ values: { ...d.values, [name]: text } })}
            />
          ))}
          <Field
            name="max_nodes"
            about={LIMITS.max_nodes}
            value={d.nodes}
            fault={faults.max_nodes}
            onInput={(text) => change({ nodes: text })}
          />
          <Field
            name="max_seconds"
            about={LIMITS.max_seconds}
            value={d.seconds}
            fault={faults.max_seconds}
            onInput={(text) => change({ seconds: text })}
          />
        </div>
        {d.strategy === 'dynamic' && (
          <Threshold
            min={number('min_branch_threshold')}
            max={number('max_branch_threshold')}
            limit={number('soft_queue_limit')}
          />
        )}
      </details>
    </form>
  );
}

function Strategy({ names }: { names: string[] }) {
  const chosen = draft.value.strategy;
  return (
    <label class="field">
      Strategy
      <select
        value={chosen}
        aria-describedby="about-strategy"
        onChange={(e) => change({ strategy: e.currentTarget.value, values: { max_depth: DEPTH } })}
      >
        {names.map((s) => (
          <option key={s}>{s}</option>
        ))}
      </select>
      <small id="about-strategy">{STRATEGIES[chosen] ?? ''}</small>
    </label>
  );
}
