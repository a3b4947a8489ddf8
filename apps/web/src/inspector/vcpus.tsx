import type { Machine } from '@retrap/web'
import { useState } from 'preact/hooks'
import { Wait } from './devices.tsx'
import type { PanelProps } from '../tabs.tsx'
import { type Decode, disassembled, type Vcpu } from './disassembly.ts'
import { Registers } from './registers.tsx'
import { Abort, WaitingInstruction } from './waiting-instruction.tsx'

const MOST_INSTRUCTIONS = 6

interface VcpusProps {
  readonly machine: Machine
  readonly vcpus: readonly Vcpu[]
  readonly decode: Decode | null
  readonly attempt: PanelProps['attempt']
}

/** The width of a vCPU's code, or an Arm processor's instruction set, exception level and security state. */
const stateOf = (vcpu: Vcpu): string =>
  'pstate' in vcpu ? `${vcpu.mode.toUpperCase()} at EL${(vcpu.pstate >>> 2) & 3}, Non-secure` : `${vcpu.mode}-bit`

/** The processors: the code that each executes, or the event that it waits for. */
export function Vcpus({ machine, vcpus, decode, attempt }: VcpusProps) {
  const [note, setNote] = useState('')
  const step = async (vcpu: number): Promise<void> => {
    const done = await machine.step(vcpu)
    setNote(done ? '' : `vCPU ${vcpu} waits for an interrupt or for a device: it has not executed an instruction.`)
  }
  return (
    <>
      {vcpus.map((vcpu, i) => (
        <section key={i} aria-label={`vCPU ${i}`}>
          <h3>
            vCPU {i}: {stateOf(vcpu)}, {vcpu.activity}
          </h3>
          <pre class="code next" role="region" tabIndex={0} aria-label={`Next instructions of vCPU ${i}`}>
            {decode === null ? '' : disassembled(decode, vcpu, MOST_INSTRUCTIONS)}
          </pre>
          <Wait number={i} vcpu={vcpu} />
          {vcpus.length > 1 && (
            <button onClick={() => attempt(() => step(i))} aria-label={`Single step of vCPU ${i}`}>
              Single step
            </button>
          )}
          <Registers vcpu={vcpu} number={i} />
          <WaitingInstruction number={i} vcpu={vcpu} />
          {'abort' in vcpu && vcpu.abort !== null && <Abort abort={vcpu.abort} />}
        </section>
      ))}
      {note !== '' && <p role="status">{note}</p>}
    </>
  )
}
