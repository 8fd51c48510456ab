// A run: its text as the headline, the view below it, the alternatives beside both.

import { useEffect } from 'preact/hooks';
import { sheet } from '../state/keys';
import * as live from '../state/live';
import { narrow, showStep, stepWidth, textHeight } from '../state/prefs';
import { maximised, view } from '../state/store';
import { AnswersView } from './Answers';
import { CompareView } from './Compare';
import { CurvesView } from './Curves';
import { DecisionView } from './Decision';
import { InspectorView } from './Inspector';
import { LayersView } from './Layers';
import { OutlineView } from './Outline';
import { PathsView } from './Paths';
import { RibbonView } from './Ribbon';
import { Splitter } from './Splitter';
import { TextView } from './Text';
import { TreeView } from './Tree';
import { NAMES } from './ViewBar';

export function Workspace() {
  const canGoOn = live.canGoOn();
  const choose = (parent: number, token: number) => void live.choose(parent, token);
  const beside = showStep.value && !maximised.value && !narrow.value;
  useEffect(() => {
    if (beside) sheet.value = false;
  }, [beside]);
  const text = textHeight.value === null ? {} : { height: `${textHeight.value}px`, maxHeight: 'none' };
  return (
    <div class="workspace">
      <div class="column">
        {!maximised.value && (
          <>
            <section class="text-pane" aria-label="Text" style={text}>
              <TextView onChoose={choose} live={canGoOn} />
            </section>
            <Splitter
              label="Height of the text"
              axis="row"
              part="before"
              size={textHeight}
              least={64}
              most={() => innerHeight - 240}
            />
          </>
        )}
        <section class="view-pane" aria-label={NAMES[view.value]}>
          <View canGoOn={canGoOn} />
        </section>
      </div>
      {beside && (
        <>
          <Splitter
            label="Width of the alternatives"
            axis="column"
            part="after"
            size={stepWidth}
            least={220}
            most={() => innerWidth - 420}
          />
          <section
            class="step-pane"
            aria-label="Step"
            style={stepWidth.value === null ? {} : { width: `${stepWidth.value}px` }}
          >
            <InspectorView onChoose={choose} live={canGoOn} {...(canGoOn ? { vocabulary: live.vocabulary } : {})} />
          </section>
        </>
      )}
      {!beside && sheet.value && (
        <>
          <div class="veil" onClick={() => (sheet.value = false)} />
          <section class="sheet" role="dialog" aria-label="Step">
            <button type="button" class="icon sheet-close" aria-label="Close" onClick={() => (sheet.value = false)}>
              ×
            </button>
            <InspectorView
              onChoose={(parent, token) => {
                sheet.value = false;
                choose(parent, token);
              }}
              live={canGoOn}
              {...(canGoOn ? { vocabulary: live.vocabulary } : {})}
            />
          </section>
        </>
      )}
    </div>
  );
}

function View({ canGoOn }: { canGoOn: boolean }) {
  switch (view.value) {
    case 'outline':
      return <OutlineView />;
    case 'tree':
      return <TreeView {...(canGoOn ? { onExpandFrontier: live.expandFrontier } : {})} />;
    case 'ribbon':
      return <RibbonView />;
    case 'curves':
      return <CurvesView />;
    case 'paths':
      return <PathsView />;
    case 'answers':
      return <AnswersView />;
    case 'compare':
      return <CompareView />;
    case 'layers':
      return <LayersView />;
    case 'decision':
      return <DecisionView />;
  }
}
