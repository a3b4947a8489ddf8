import type { KeyboardLayoutName } from '@retrap/web'
import { useState } from 'preact/hooks'
import './keys.css'
import { ActionForm, Choice } from '../fields.tsx'
import type { PanelProps } from '../tabs.tsx'
import { type Held, terminalKey, terminalText } from './serial-keys.ts'

/** Modifiers, by `KeyboardEvent.code`. */
const MODIFIERS = [
  ['ControlLeft', 'Ctrl'],
  ['AltLeft', 'Alt'],
  ['ShiftLeft', 'Shift'],
  ['AltRight', 'AltGr'],
  ['MetaLeft', 'Win'],
] as const
type Modifier = (typeof MODIFIERS)[number][0]

const ROWS: readonly (readonly (readonly [code: string, name: string, label?: string])[])[] = [
  [
    ['Escape', 'Esc'],
    ['Tab', 'Tab'],
    ['Enter', 'Enter'],
    ['Backspace', '⌫', 'Backspace'],
    ['ArrowLeft', '←', 'Left arrow'],
    ['ArrowDown', '↓', 'Down arrow'],
    ['ArrowUp', '↑', 'Up arrow'],
    ['ArrowRight', '→', 'Right arrow'],
  ],
  Array.from({ length: 12 }, (_, i) => [`F${i + 1}`, `F${i + 1}`] as const),
  Object.entries({ Insert: 'Ins', Delete: 'Del', Home: 'Home', End: 'End', PageUp: 'PgUp', PageDown: 'PgDn' }),
]

const LAYOUT_NAMES = { us: 'US', gb: 'British', de: 'German', fr: 'French' }
const LAYOUTS = Object.entries(LAYOUT_NAMES) as [KeyboardLayoutName, string][]

const TARGETS = [
  ['keyboard', 'the keyboard, for the screen'],
  ['serial', 'the serial port'],
] as const
type Target = (typeof TARGETS)[number][0]

/** Keys for hands without a keyboard, and text that is typed: to the machine's keyboard, or its serial port. */
export function KeysPanel({ machine }: PanelProps) {
  const [target, setTarget] = useState<Target>(() => (machine.screenSize.width > 0 ? 'keyboard' : 'serial'))
  const [down, setDown] = useState<ReadonlySet<Modifier>>(new Set())
  const [layout, setLayout] = useState<KeyboardLayoutName>('us')
  const [text, setText] = useState('')
  const [note, setNote] = useState('')
  const send = (codes: readonly string[], isDown: boolean): void =>
    machine.sendKeys(codes.map((code) => ({ code, down: isDown })))
  const held: Held = {
    control: down.has('ControlLeft'),
    alt: down.has('AltLeft') || down.has('MetaLeft'),
    shift: down.has('ShiftLeft'),
  }
  /** Presses keys together. A keyboard repeats keys held for long, so the guest gets all of them at once. */
  const pressAll = (codes: readonly string[]): void => {
    send(codes, true)
    send(codes.toReversed(), false)
  }
  const toggle = (code: Modifier): void => {
    const next = new Set(down)
    if (!next.delete(code)) next.add(code)
    // A modifier alone, such as Alt for a menu.
    else if (target === 'keyboard') pressAll([code])
    setDown(next)
  }
  const press = (code: string): void => {
    setNote('')
    if (target === 'keyboard') pressAll([...down, code])
    else machine.write(terminalKey(code, held) ?? '')
    setDown(new Set())
  }
  const type = async (given: string): Promise<void> => {
    setNote('')
    setDown(new Set())
    if (target === 'serial') return machine.write(terminalText(given, held))
    send([...down], true)
    try {
      if (!(await machine.type(given, { layout }))) setNote('The guest has not taken all of it.')
    } finally {
      send([...down].toReversed(), false)
    }
  }
  const attempt = (given: string): void =>
    void type(given).catch((error: unknown) => setNote(error instanceof Error ? error.message : String(error)))
  return (
    <>
      <div class="fields">
        <Choice label="Keys go to" value={target} choices={TARGETS} change={setTarget} />
        {target === 'keyboard' && (
          <Choice label="The guest's keyboard layout" value={layout} choices={LAYOUTS} change={setLayout} />
        )}
      </div>
      <div class="keys" role="group" aria-label="Modifiers: each is held with the next key">
        {MODIFIERS.map(([code, name]) => (
          <button type="button" aria-pressed={down.has(code)} onClick={() => toggle(code)}>
            {name}
          </button>
        ))}
        {target === 'keyboard' && (
          <button type="button" class="long" onClick={() => pressAll(['ControlLeft', 'AltLeft', 'Delete'])}>
            Ctrl-Alt-Del
          </button>
        )}
      </div>
      {ROWS.map((row) => (
        <div
          class="keys"
          role="group"
          aria-label={`Keys ${row[0]![2] ?? row[0]![1]} to ${row.at(-1)![2] ?? row.at(-1)![1]}`}
        >
          {row.map(([code, name, label]) => (
            <button type="button" aria-label={label} onClick={() => press(code)}>
              {name}
            </button>
          ))}
        </div>
      ))}
      <ActionForm
        look=""
        submit={() => {
          attempt(text)
          setText('')
        }}
      >
        <label>
          Text to type
          <textarea
            class="bytes"
            rows={2}
            spellcheck={false}
            autocapitalize="off"
            autocomplete="off"
            value={text}
            onInput={(event) => setText(event.currentTarget.value)}
          />
        </label>
        <div class="actions">
          <button type="submit" disabled={text === ''}>
            Type it
          </button>
          <button
            type="button"
            onClick={() =>
              void navigator.clipboard
                .readText()
                .then(attempt, () => setNote('The browser does not give the clipboard: paste into the field.'))
            }
          >
            Type the clipboard
          </button>
          <span class="soft" role="status">
            {note}
          </span>
        </div>
      </ActionForm>
    </>
  )
}
