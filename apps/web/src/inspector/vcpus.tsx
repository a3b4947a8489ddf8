import type { Machine, VcpuView } from '@retrap/web'
import { useState } from 'preact/hooks'
import { Wait } from './devices.tsx'
import type { PanelProps } from '../tabs.tsx'
import type { Disassemble } from './disassembly.ts'
import { Registers } from './registers.tsx'

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
          <details>
            <summary>
              The log of the instruction in the middle:{' '}
              {vcpu.log.length === 1 ? '1 access' : `${vcpu.log.length} accesses`}
            </summary>
            <Log vcpu={vcpu} />
          </details>
        </section>
      ))}
      {note !== '' && <p role="status">{note}</p>}
    </>
  )
}

/** The accesses of the instruction so far: when it goes on it replays them, and none is made again. */
function Log({ vcpu }: { vcpu: VcpuView }) {
  return (
    <div class="scroll">
      <table>
        <thead>
          <tr>
            <th>#</th>
            <th>Access</th>
            <th>Address</th>
            <th>Bytes</th>
            <th>State</th>
            <th>Data</th>
          </tr>
        </thead>
        <tbody>
          {vcpu.log.map((access) => (
            <tr key={access.ordinal}>
              <td>{access.ordinal}</td>
              <td>{access.kind}</td>
              <td>{access.address}</td>
              <td>{access.size}</td>
              <td>{access.state}</td>
              <td>{access.state === 'complete' ? access.data : ''}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}
