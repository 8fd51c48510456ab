// A number of the form, with what it does, and what is wrong with it.

import type { Parameter } from '../../lib/parameters';

interface Props {
  name: string;
  about: Parameter;
  value: string;
  fault: string;
  onInput: (text: string) => void;
}

export function Field({ name, about, value, fault, onInput }: Props) {
  return (
    <div class={fault ? 'field wrong' : 'field'}>
      <label for={`field-${name}`}>{about.label}</label>
      <input
        id={`field-${name}`}
        type="number"
        inputMode={about.whole ? 'numeric' : 'decimal'}
        step={about.whole ? 1 : 'any'}
        min={about.least ?? 0}
        {...(about.most === undefined ? {} : { max: about.most })}
        value={value}
        aria-invalid={fault !== ''}
        aria-describedby={`about-${name}`}
        onInput={(e) => onInput(e.currentTarget.value)}
      />
      <small id={`about-${name}`} class={fault ? 'bad' : ''}>
        {fault || about.what}
      </small>
    </div>
  );
}
