import { useState } from 'preact/hooks'
import { keep, kept } from '../files.ts'
import type { PanelProps } from '../tabs.tsx'
import type { DebuggerView } from './use-debugger.ts'

const SYSTEM = /^Debian amd64/
const KEPT = 'retrap-tour'
/** A variable of Linux that a file in /proc changes. */
const [VARIABLE, COMMAND] = ['panic_timeout', 'echo 42 > /proc/sys/kernel/panic']
const VARIABLE_BYTES = 4

interface TourProps extends Pick<PanelProps, 'machine' | 'chosen' | 'attempt'> {
  readonly view: DebuggerView
  readonly record: () => void
}

/** A first session in five steps on the machine itself, up to the question who wrote a kernel variable. */
export function Tour({ machine, chosen, view, record, attempt }: TourProps) {
  // A browser that keeps nothing would show it again and again.
  const [isOver, setOver] = useState(() => kept(KEPT) !== null)
  /** Done by the user: the command was typed, and the variable found. */
  const [isTyped, setTyped] = useState(false)
  const [at, setAt] = useState<bigint | null>(null)
  const [hasGone, setGone] = useState(false)
  // Other systems may lack the Linux variable that the tour looks at.
  if (isOver || !SYSTEM.test(chosen.title)) return null
  const { position, answer, isBusy } = view
  const close = (): void => {
    setOver(true)
    keep(KEPT, 'closed')
  }
  const find = async (): Promise<void> => {
    const address = await machine.debugger.addressOf(VARIABLE)
    if (address === null)
      throw new Error(`${VARIABLE}: this system has no such variable; start Debian for this session`)
    view.change({ shown: { address } })
    setAt(address)
  }
  const ask = (): Promise<void> => view.ask(VARIABLE, { address: at!, length: VARIABLE_BYTES })
  const writer = at === null ? null : answer?.writer
  const goBack = async (instruction: number): Promise<void> => {
    await view.goTo(instruction)
    view.change({ answer })
    setGone(true)
  }
  const steps: readonly (readonly [text: string, name: string, action: () => void])[] = [
    ['Who wrote a byte? Record this machine: from here on every instant is kept.', 'Record it', record],
    [
      `Have the guest change something of its kernel’s: ${COMMAND}`,
      'Type it',
      () => {
        machine.write(`${COMMAND}\r`)
        setTyped(true)
      },
    ],
    [`That is the variable ${VARIABLE}. Look at it in memory.`, 'Find it', () => attempt(find)],
    ['It holds 42, hexadecimal 2a. Who wrote that? The recorded run has the answer.', 'Ask', () => attempt(ask)],
    [
      'That is the answer, below. Go back to the instruction that is about to write: the whole machine is as it was.',
      'Go there',
      () => attempt(() => (writer && 'instruction' in writer ? goBack(writer.instruction) : ask())),
    ],
  ]
  const step = hasGone ? steps.length : !position ? 0 : !isTyped ? 1 : at === null ? 2 : !writer ? 3 : 4
  const [text, name, action] = steps[step] ?? [
    'This is the instant before the write. F11 makes the step, Shift+F11 takes it back, Now returns. That was all.',
    'Finish',
    close,
  ]
  return (
    <div class="tour" role="region" aria-label="A first session">
      <strong>{step < steps.length ? `${step + 1} of ${steps.length}` : 'Done'}</strong>
      <span>{text}</span>
      <button class="primary" disabled={isBusy} onClick={action}>
        {name}
      </button>
      {step < steps.length && (
        <button class="plain" onClick={close}>
          No more of this
        </button>
      )}
    </div>
  )
}
