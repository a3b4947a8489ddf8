import type { Machine, VcpuView } from '@retrap/web'
import { useState } from 'preact/hooks'
import { Wait } from './devices.tsx'
import type { PanelProps } from '../tabs.tsx'
import type { Disassemble } from './disassembly.ts'
import { Registers } from './registers.tsx'
import { WaitingInstruction } from './waiting-instruction.tsx'

const MOST_INSTRUCTIONS = 6

interface VcpusProps {
  readonly machine: Machine
  readonly vcpus: readonly VcpuView[]
  readonly disassemble: Disassemble | null
  readonly attempt: PanelProps['attempt']
}

/** The processors: what each executes, or waits for. */
export function Vcpus({ machine, vcpus, disassemble, attempt }: VcpusProps) {
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
            vCPU {i}: {vcpu.mode}-bit, {vcpu.activity}
          </h3>
          <pre class="code next" role="region" tabIndex={0} aria-label={`Next instructions of vCPU ${i}`}>
            {disassemble?.(vcpu, MOST_INSTRUCTIONS) ?? ''}
          </pre>
          <Wait number={i} vcpu={vcpu} />
          {vcpus.length > 1 && (
            <button onClick={() => attempt(() => step(i))} aria-label={`Single step of vCPU ${i}`}>
              Single step
            </button>
          )}
          <Registers vcpu={vcpu} number={i} />
          <WaitingInstruction number={i} vcpu={vcpu} />
        </section>
      ))}
      {note !== '' && <p role="status">{note}</p>}
    </>
  )
}
