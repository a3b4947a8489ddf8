import type { Machine, MachineChange } from '@retrap/web'
import { useState } from 'preact/hooks'
import { ActionForm, TextField } from '../fields.tsx'
import type { PanelProps } from '../tabs.tsx'
import { addressOf } from './addresses.ts'
import { SymbolField } from './symbols.tsx'

/** Registers that can be changed, by gdb's names. */
const REGISTERS: ReadonlySet<string> = new Set([
  ...['rax', 'rbx', 'rcx', 'rdx', 'rsi', 'rdi', 'rbp', 'rsp', 'rip', 'eflags'],
  ...Array.from({ length: 8 }, (_, i) => `r${i + 8}`),
  ...['sp', 'pc', 'cpsr'],
  ...Array.from({ length: 31 }, (_, i) => `x${i}`),
])

interface ChangeProps extends Pick<PanelProps, 'machine' | 'attempt'> {
  readonly isBusy: boolean
  /** Asks the user whether the machine is to branch from the recording for the change. */
  readonly ask: (change: MachineChange) => void
}

/** A form that changes a register or memory. */
export function Change({ machine, isBusy, attempt, ask }: ChangeProps) {
  const [place, setPlace] = useState('')
  const [text, setText] = useState('')
  const read = async (): Promise<void> => ask(await changeOf(machine, place, text))
  return (
    <section aria-label="Change">
      <h3>Change</h3>
      <ActionForm submit={() => attempt(read)}>
        <SymbolField machine={machine} label="Register or address" placeholder="rax" value={place} change={setPlace} />
        <TextField
          label="New value"
          class="code"
          autocomplete="off"
          spellcheck={false}
          value={text}
          placeholder="hexadecimal: 1f, or bytes: 90 90"
          change={setText}
        />
        <button type="submit" disabled={isBusy}>
          Change …
        </button>
      </ActionForm>
      <p class="soft">
        A recording does not know of changes: the machine branches at this instant, and is changed there.
      </p>
    </section>
  )
}

/** @throws Error with the expected form of the value */
async function changeOf(machine: Machine, place: string, text: string): Promise<MachineChange> {
  const register = place.trim().toLowerCase()
  const digits = text.trim().replace(/^0x/i, '')
  if (REGISTERS.has(register)) {
    if (!/^[\da-f]{1,16}$/i.test(digits)) throw new Error(`'${text}': expected up to 16 hexadecimal digits, such as 1f`)
    return { register, value: BigInt(`0x${digits}`) }
  }
  const bytes = digits.replaceAll(/\s/g, '')
  if (!/^([\da-f]{2})+$/i.test(bytes))
    throw new Error(`'${text}': expected bytes of two hexadecimal digits, such as 90 90`)
  return {
    address: await addressOf(machine, place),
    bytes: Uint8Array.from(bytes.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16)),
  }
}
