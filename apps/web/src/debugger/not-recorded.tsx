import { useState } from 'preact/hooks'
import { ArmInspector } from '../inspector/arm-panel.tsx'
import { useView } from '../inspector/view.ts'
import type { PanelProps } from '../tabs.tsx'
import { Change } from './change.tsx'
import { Memory } from './memory.tsx'

/** Warning before a recording begins, and when it is saved. */
export const SHARED =
  'A recording holds what is in the guest’s memory, and what it has read from its disks: give it to nobody who may not see that.'

interface NotRecordedProps extends Pick<PanelProps, 'machine' | 'isOn' | 'isShown' | 'attempt'> {
  /** Looks at the machine's debugger again. */
  readonly look: () => Promise<void>
}

/** The debugger panel of an unrecorded machine: offers a recording, or for an Arm board explains that it only runs forwards. */
export function NotRecorded({ machine, isOn, isShown, attempt, look }: NotRecordedProps) {
  const view = useView(machine, isShown)
  const [isBeginning, setBeginning] = useState(false)
  if (view?.architecture === 'arm')
    return (
      <div class="debugger">
        <p>An Arm board does not go back in time: it is looked at as it runs, stepped, and changed at once.</p>
        <button onClick={() => attempt(() => machine.step(0))}>Step on</button>
        <ArmInspector machine={machine} view={view} attempt={attempt} />
        <Memory
          machine={machine}
          instruction={view.instructions}
          past={null}
          stackPointer={view.vcpus[0]?.sp ?? 0n}
          shown={null}
          attempt={attempt}
        />
        <Change
          machine={machine}
          isBusy={false}
          attempt={attempt}
          ask={(change) => attempt(() => machine.debugger.change(change))}
        />
      </div>
    )
  const begin = async (): Promise<void> => {
    setBeginning(true)
    try {
      await machine.debugger.record()
      await look()
    } finally {
      setBeginning(false)
    }
  }
  return (
    <>
      <p>
        When a machine is recorded you can go back in its run, instruction by instruction, and ask who wrote a byte. Its
        time is then counted from what it executes.
      </p>
      <div class="actions">
        <button class="primary" disabled={!isOn || isBeginning} onClick={() => attempt(begin)}>
          Record
        </button>
        <span class="soft" role="status">
          {isBeginning ? 'It begins to be recorded …' : isOn ? '' : 'The machine is off: there is nothing to record.'}
        </span>
      </div>
      <p class="soft">{SHARED}</p>
    </>
  )
}
