// The editor of the exercise's source, with CodeMirror. A page loads it with its first exercise.
import { defaultKeymap, history, historyKeymap } from '@codemirror/commands'
import { type EditorState, StateEffect, StateField, Text } from '@codemirror/state'
import {
  type BlockInfo,
  Decoration,
  type DecorationSet,
  EditorView,
  gutter,
  GutterMarker,
  keymap,
  lineNumbers,
  WidgetType,
} from '@codemirror/view'

/** Marks beside and below lines, which count from 1. */
export interface Marks {
  /** Lines with a breakpoint. */
  readonly stops: ReadonlySet<number>
  /** The line whose instruction is next; 0: none of the source. */
  readonly next: number
  /** An error of the assembler; at line 0: of no line. */
  readonly wrong: { readonly text: string; readonly line: number } | null
}

/** The editor that a page asks for. */
export interface EditorOptions {
  readonly parent: Element
  readonly text: string
  readonly marks: Marks
  /** The key that toggles a breakpoint at the cursor's line. */
  readonly key: string
  /** Attributes of the text field: its label and description. */
  readonly attributes: Readonly<Record<string, string>>
  /** The reader has changed the text. */
  changed(text: string): void
  /** The cursor is at a line, perhaps another one. */
  moved(line: number): void
  /** The reader asks for a breakpoint at a line, or for its end. */
  toggle(line: number): void
}

/** An editor in a page. */
export interface SourceEditor {
  /** Puts another text in. The reader can undo it. */
  setText(text: string): void
  mark(marks: Marks): void
  destroy(): void
}

const setMarks = StateEffect.define<Marks>()
const marked = StateField.define<Marks>({
  create: () => ({ stops: new Set(), next: 0, wrong: null }),
  update(marks, { effects }) {
    for (const effect of effects) if (effect.is(setMarks)) return effect.value
    return marks
  },
})

/** Text of an error, below its line. */
class ErrorText extends WidgetType {
  readonly text: string

  constructor(text: string) {
    super()
    this.text = text
  }

  override eq(other: ErrorText): boolean {
    return other.text === this.text
  }

  override toDOM(): HTMLElement {
    const note = document.createElement('div')
    note.className = 'exercise-line-error'
    note.textContent = this.text
    return note
  }
}

const NEXT = Decoration.line({ class: 'exercise-next', attributes: { 'aria-current': 'step' } })
const WRONG = Decoration.line({ class: 'exercise-wrong-line' })

function decorationsOf(state: EditorState): DecorationSet {
  const { next, wrong } = state.field(marked)
  const { doc } = state
  const isThere = (line: number): boolean => line > 0 && line <= doc.lines
  const found = isThere(next) ? [NEXT.range(doc.line(next).from)] : []
  if (wrong !== null && isThere(wrong.line)) {
    const { from, to } = doc.line(wrong.line)
    const note = Decoration.widget({ widget: new ErrorText(wrong.text), block: true, side: 1 })
    found.push(WRONG.range(from), note.range(to))
  }
  return Decoration.set(found, true)
}

/** The dot of a breakpoint. */
class Stop extends GutterMarker {
  override toDOM(): Node {
    return document.createTextNode('●')
  }
}
const STOP = new Stop()

/** Colours are those of the page's theme, light or dark. */
const THEME = EditorView.theme({
  '&': { flex: '1', minWidth: '0', fontSize: '13px', color: 'var(--vp-c-text-1)' },
  '&.cm-focused': { outline: '2px solid var(--vp-c-brand-1)', outlineOffset: '-2px' },
  '.cm-scroller': { fontFamily: 'var(--vp-font-family-mono)', lineHeight: '20px' },
  '.cm-content': { padding: '8px 0', caretColor: 'var(--vp-c-text-1)' },
  '.cm-gutters': { color: 'var(--vp-c-text-2)', background: 'var(--vp-code-block-bg)', border: 'none' },
  '.cm-gutterElement': { cursor: 'pointer' },
  '.exercise-stops': { width: '20px' },
  '.exercise-stops .cm-gutterElement': { textAlign: 'center', color: 'var(--vp-c-danger-1)' },
  '.exercise-next': { background: 'var(--vp-c-brand-soft)', boxShadow: 'inset 3px 0 var(--vp-c-brand-1)' },
  '.exercise-wrong-line': { textDecoration: 'underline wavy var(--vp-c-danger-1)' },
  '.exercise-line-error': { padding: '0 6px', color: 'var(--vp-c-danger-1)' },
})

/** Makes an editor. Tab leaves it. */
export function makeEditor(options: EditorOptions): SourceEditor {
  const { parent, text, marks, key, attributes } = options
  const cursorLine = ({ doc, selection }: EditorState): number => doc.lineAt(selection.main.head).number
  const click = (view: EditorView, { from }: BlockInfo): boolean => {
    options.toggle(view.state.doc.lineAt(from).number)
    return true
  }
  const view = new EditorView({
    parent,
    doc: text,
    extensions: [
      marked,
      history(),
      THEME,
      gutter({
        class: 'exercise-stops',
        lineMarker: ({ state }, { from }) =>
          state.field(marked).stops.has(state.doc.lineAt(from).number) ? STOP : null,
        lineMarkerChange: ({ startState, state }) => startState.field(marked) !== state.field(marked),
        renderEmptyElements: true,
        domEventHandlers: { click },
      }),
      lineNumbers({ domEventHandlers: { click } }),
      keymap.of([
        {
          key,
          run: ({ state }) => {
            options.toggle(cursorLine(state))
            return true
          },
        },
        ...defaultKeymap,
        ...historyKeymap,
      ]),
      EditorView.decorations.compute([marked, 'doc'], decorationsOf),
      EditorView.contentAttributes.of(attributes),
      EditorView.contentAttributes.compute([marked], (state) => ({
        'aria-invalid': String((state.field(marked).wrong?.line ?? 0) > 0),
      })),
      EditorView.updateListener.of(({ docChanged, selectionSet, state }) => {
        if (docChanged) options.changed(state.doc.toString())
        if (docChanged || selectionSet) options.moved(cursorLine(state))
      }),
    ],
  })
  const mark = (given: Marks): void => view.dispatch({ effects: setMarks.of(given) })
  mark(marks)
  return {
    setText(given) {
      const { doc } = view.state
      const insert = Text.of(given.split('\n'))
      if (!doc.eq(insert)) view.dispatch({ changes: { from: 0, to: doc.length, insert } })
    },
    mark,
    destroy: () => view.destroy(),
  }
}
