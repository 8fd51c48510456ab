// The form of a new run: prompt, strategy, parameters, and the exact tokens the model will see.

import { type Signal, useSignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import type { Header, Message } from '../lib/format';
import { count, visible } from '../lib/numbers';
import * as api from '../state/api';
import * as live from '../state/live';

const LABELS: Record<string, string> = {
  min_branch_threshold: 'Threshold, few open paths',
  max_branch_threshold: 'Threshold, many open paths',
  soft_queue_limit: 'Open paths that count as many',
  candidate_threshold: 'List candidates above',
  max_depth: 'Depth in tokens',
  max_completed_paths: 'End after so many completions',
  batch: 'Nodes expanded together',
  cover: 'End when this much is finished',
  width: 'Paths followed at once',
  samples: 'Samples',
  seed: 'Seed',
  temperature: 'Temperature',
  top_k: 'Top-k (0 is all)',
  top_p: 'Top-p',
  min_p: 'Min-p',
};

const ROLES = ['system', 'user', 'assistant'];

/** The depth a first look needs; the strategies' own default is a thousand. */
const DEPTH = 20;

interface Props {
  /** The run that is to be made again, until something is changed. */
  model: Header | null;
  done: () => void;
}

export function NewRun({ model, done }: Props) {
  const server = live.server.value;
  const chat = useSignal(model?.prompt.chat ?? false);
  /** As a text, only the last one counts: so it stays when the box is ticked. */
  const turns = useSignal<Message[]>(model ? turnsOf(model) : [{ role: 'user', content: 'The capital of India is' }]);
  /** What the chat template is given besides. */
  const variables = useSignal(model?.prompt.template_args ?? {});
  const strategy = useSignal(model?.strategy ?? 'dynamic');
  const values = useSignal<Record<string, string>>(model ? valuesOf(model) : { max_depth: String(DEPTH) });
  const nodes = useSignal(model ? String(model.limits?.max_nodes ?? '') : '2000');
  const tokens = useSignal<{ id: number; text: string; special: boolean }[]>([]);
  const wrong = useSignal('');

  const last = turns.value.length - 1;
  const prompt: api.Prompt = chat.value
    ? conversation(turns.value, variables.value)
    : { prompt: turns.value[last]!.content };
  const isWhole = (chat.value ? turns.value : turns.value.slice(-1)).every((t) => t.content !== '');
  const change = (i: number, what: Partial<Message>) => {
    turns.value = turns.value.map((t, k) => (k === i ? { ...t, ...what } : t));
  };

  useEffect(() => {
    let stale = false;
    const timer = setTimeout(async () => {
      try {
        const found = isWhole ? await api.tokenize(prompt) : [];
        if (!stale) [tokens.value, wrong.value] = [found, ''];
      } catch (e) {
        if (!stale) [tokens.value, wrong.value] = [[], (e as Error).message];
      }
    }, 200);
    return () => {
      stale = true;
      clearTimeout(timer);
    };
  }, [turns.value, chat.value, variables.value]);

  if (!server?.model) return null;
  const defaults = server.strategies[strategy.value] ?? {};
  const names = Object.keys(defaults).filter((k) => typeof defaults[k] === 'number');
  const number = (name: string) => Number(values.value[name] ?? defaults[name]);
  const submit = async (e: Event) => {
    e.preventDefault();
    const parameters: Record<string, number> = {};
    for (const name of names) if (values.value[name] !== undefined) parameters[name] = number(name);
    const run: api.NewRun = { ...prompt, strategy: strategy.value, parameters };
    if (nodes.value !== '') run.max_nodes = Number(nodes.value);
    if (await live.startRun(run)) done();
  };
  return (
    <form class="new-run" onSubmit={submit} aria-label="New run">
      <p class="dim">{[server.model.name, server.model.dtype, server.model.engine].filter(Boolean).join(' · ')}</p>
      {server.model.chat && (
        <label class="check">
          <input type="checkbox" checked={chat.value} onChange={(e) => (chat.value = e.currentTarget.checked)} />
          As a conversation, in the model’s chat template
        </label>
      )}
      {chat.value ? (
        <>
          <Turns turns={turns} onChange={change} />
          <Variables variables={variables} />
        </>
      ) : (
        <label>
          Prompt
          <textarea
            rows={3}
            required
            value={turns.value[last]!.content}
            onInput={(e) => change(last, { content: e.currentTarget.value })}
          />
        </label>
      )}
      <div class="tokens" role="group" aria-label="What the model will see">
        {wrong.value ? (
          <span class="bad">{wrong.value}</span>
        ) : (
          <span class="dim">{count(tokens.value.length, 'token')}:</span>
        )}
        {tokens.value.slice(0, 400).map((t, i) => (
          <span key={i} class={t.special ? 'token special' : 'token'} title={`id ${t.id}`}>
            {visible(t.text)}
          </span>
        ))}
      </div>
      <div class="fields">
        <label>
          Strategy
          <select
            value={strategy.value}
            onChange={(e) => {
              strategy.value = e.currentTarget.value;
              values.value = { max_depth: String(DEPTH) };
            }}
          >
            {Object.keys(server.strategies).map((s) => (
              <option key={s}>{s}</option>
            ))}
          </select>
        </label>
        {names.map((name) => (
          <label key={name}>
            {LABELS[name] ?? name}
            <input
              type="number"
              step="any"
              min="0"
              required
              value={values.value[name] ?? String(defaults[name])}
              onInput={(e) => (values.value = { ...values.value, [name]: e.currentTarget.value })}
            />
          </label>
        ))}
        <label>
          End at so many nodes
          <input type="number" min="1" value={nodes.value} onInput={(e) => (nodes.value = e.currentTarget.value)} />
        </label>
      </div>
      {strategy.value === 'dynamic' && (
        <Threshold
          min={number('min_branch_threshold')}
          max={number('max_branch_threshold')}
          limit={number('soft_queue_limit')}
        />
      )}
      <div class="buttons">
        <button type="submit" class="primary">
          Start
        </button>
        <button type="button" onClick={done}>
          Cancel
        </button>
      </div>
    </form>
  );
}

const turnsOf = ({ prompt }: Header): Message[] =>
  prompt.messages?.length ? prompt.messages : [{ role: 'user', content: prompt.text }];

function valuesOf({ parameters }: Header): Record<string, string> {
  const numbers = Object.entries(parameters).filter(([, value]) => typeof value === 'number');
  return Object.fromEntries(numbers.map(([name, value]) => [name, String(value)]));
}

const conversation = (messages: Message[], variables: Record<string, unknown>): api.Prompt =>
  Object.keys(variables).length > 0 ? { messages, chat_template_kwargs: variables } : { messages };

/** Variables of the chat template that the run had; nothing is shown where it had none. */
function Variables({ variables }: { variables: Signal<Record<string, unknown>> }) {
  const all = Object.entries(variables.value);
  if (all.length === 0) return null;
  return (
    <p class="dim">
      The chat template is given {all.map(([name, value]) => `${name} = ${JSON.stringify(value)}`).join(', ')}.{' '}
      <button type="button" class="small" onClick={() => (variables.value = {})}>
        Leave out
      </button>
    </p>
  );
}

interface TurnsProps {
  turns: Signal<Message[]>;
  onChange: (i: number, what: Partial<Message>) => void;
}

function Turns({ turns, onChange }: TurnsProps) {
  const all = turns.value;
  const next = all.at(-1)?.role === 'user' ? 'assistant' : 'user';
  return (
    <div class="turns">
      {all.map((turn, i) => (
        <fieldset key={i} class="turn">
          <legend class="unseen">Turn {i + 1}</legend>
          <select
            aria-label={`Role of turn ${i + 1}`}
            value={turn.role}
            onChange={(e) => onChange(i, { role: e.currentTarget.value })}
          >
            {ROLES.map((role) => (
              <option key={role}>{role}</option>
            ))}
          </select>
          <textarea
            rows={2}
            required
            aria-label={`Text of turn ${i + 1}`}
            value={turn.content}
            onInput={(e) => onChange(i, { content: e.currentTarget.value })}
          />
          <button
            type="button"
            class="small"
            disabled={all.length === 1}
            aria-label={`Remove turn ${i + 1}`}
            onClick={() => (turns.value = all.filter((_, k) => k !== i))}
          >
            ×
          </button>
        </fieldset>
      ))}
      <div class="buttons">
        <button type="button" onClick={() => (turns.value = [...all, { role: next, content: '' }])}>
          Add a turn
        </button>
        {all[0]?.role !== 'system' && (
          <button type="button" onClick={() => (turns.value = [{ role: 'system', content: '' }, ...all])}>
            Add a system message
          </button>
        )}
      </div>
    </div>
  );
}

/** The rule by which the threshold rises with the number of open paths. */
function Threshold({ min, max, limit }: { min: number; max: number; limit: number }) {
  if (![min, max, limit].every(Number.isFinite) || limit < 1) return null;
  const [w, h] = [260, 70];
  const x = (q: number) => 30 + (q / (limit * 1.5)) * (w - 40);
  const y = (t: number) => h - 18 - t * (h - 26);
  return (
    <svg
      class="rule"
      width={w}
      height={h}
      role="img"
      aria-label={`A token becomes a branch above ${min} with few open paths, rising to ${max} with ${limit} or more`}
    >
      <path class="axis" d={`M30 4V${h - 18}H${w}`} />
      <path class="curve" d={`M${x(0)} ${y(min)}L${x(limit)} ${y(max)}H${w - 4}`} />
      <text x="2" y={y(min) + 4}>
        {min}
      </text>
      <text x="2" y={y(max) + 4}>
        {max}
      </text>
      <text x={x(limit) - 8} y={h - 4}>
        {limit}
      </text>
      <text x={w - 62} y={h - 4}>
        open paths
      </text>
    </svg>
  );
}
