import type { Machine, VcpuView } from '@retrap/web'
import { useState } from 'preact/hooks'
import { addressText, type Disassemble } from './disassembly.ts'

const MOST_INSTRUCTIONS = 6
const REGISTERS = 'rax rcx rdx rbx rsp rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15'.split(' ')
const REGISTERS_A_ROW = 4

interface VcpusProps {
  readonly machine: Machine
  readonly vcpus: readonly VcpuView[]
  readonly disassemble: Disassemble | null
}

/** The processors: what each executes, or waits for. */
export function Vcpus({ machine, vcpus, disassemble }: VcpusProps) {
  const [note, setNote] = useState('')
  const step = async (vcpu: number): Promise<void> => {
    try {
      const done = await machine.step(vcpu)
      setNote(done ? '' : `vCPU ${vcpu} waits for an interrupt or for a device: it has not executed an instruction.`)
    } catch (error) {
      setNote(error instanceof Error ? error.message : String(error))
    }
  }
  return (
    <>
      {vcpus.map((vcpu, i) => (
        <section key={i} aria-label={`vCPU ${i}`}>
          <h3>
            vCPU {i}: {vcpu.mode}-bit, {vcpu.activity}
          </h3>
          <pre role="region" tabIndex={0} aria-label={`Next instructions of vCPU ${i}`}>
            {disassemble?.(vcpu, MOST_INSTRUCTIONS) ?? ''}
          </pre>
          {vcpu.waitsFor !== null && (
            <p class="waits">
              Waits for <strong>{vcpu.waitsFor.device}</strong> (server {vcpu.waitsFor.server}): {vcpu.waitsFor.request}
            </p>
          )}
          <div class="actions">
            <button onClick={() => void step(i)} aria-label={`Single step of vCPU ${i}`}>
              Single step
            </button>
          </div>
          {vcpu.log.length > 0 && (
            <details>
              <summary>
                The log of the instruction in the middle:{' '}
                {vcpu.log.length === 1 ? '1 access' : `${vcpu.log.length} accesses`}
              </summary>
              <Log vcpu={vcpu} />
            </details>
          )}
          <details>
            <summary>Registers of vCPU {i}</summary>
            <pre role="region" tabIndex={0}>
              {registersText(vcpu)}
            </pre>
          </details>
        </section>
      ))}
      <p role="status">{note}</p>
    </>
  )
}

/** What the instruction has done so far: when it goes on it replays these accesses, and none is made again. */
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

function registersText({ registers, mode }: VcpuView): string {
  const all = registers.slice(0, mode === 64 ? 16 : 8)
  const texts = all.map((value, i) => {
    const name = mode === 64 ? REGISTERS[i]! : REGISTERS[i]!.replace('r', 'e')
    return `${name.padStart(3)} ${addressText(BigInt.asUintN(mode === 64 ? 64 : 32, value), mode)}`
  })
  const rows = Array.from({ length: all.length / REGISTERS_A_ROW }, (_, row) =>
    texts.slice(row * REGISTERS_A_ROW, (row + 1) * REGISTERS_A_ROW).join('  '),
  )
  return rows.join('\n')
}
