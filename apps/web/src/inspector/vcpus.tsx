import type { Machine, VcpuView } from '@retrap/web'
import { useEffect, useRef, useState } from 'preact/hooks'
import { Wait } from './devices.tsx'
import type { PanelProps } from '../tabs.tsx'
import { addressText, type Disassemble } from './disassembly.ts'

const MOST_INSTRUCTIONS = 6
const NAMES = 'RAX RCX RDX RBX RSP RBP RSI RDI R8 R9 R10 R11 R12 R13 R14 R15'.split(' ')

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

/** The flags of RFLAGS, by bit. Source: Intel SDM vol. 1, "EFLAGS Register". */
const FLAGS = [
  [0, 'CF'],
  [2, 'PF'],
  [4, 'AF'],
  [6, 'ZF'],
  [7, 'SF'],
  [8, 'TF'],
  [9, 'IF'],
  [10, 'DF'],
  [11, 'OF'],
] as const

/** All registers: those that differ from the last look are marked. */
export function Registers({ vcpu, number }: { vcpu: VcpuView; number: number }) {
  const { mode, registers, ip, flags, control, segments } = vcpu
  const isLong = mode === 64
  const general = registers
    .slice(0, isLong ? 16 : 8)
    .map((value, i) => [isLong ? NAMES[i]! : NAMES[i]!.replace('R', 'E'), value] as const)
  const all = [[isLong ? 'RIP' : 'EIP', ip] as const, ...general]
  const last = useRef<readonly bigint[]>([])
  const before = last.current
  useEffect(() => {
    last.current = all.map(([, value]) => value)
  })
  return (
    <div class="registers code" role="region" tabIndex={0} aria-label={`Registers of vCPU ${number}`}>
      <dl>
        {all.map(([name, value], i) => (
          <div key={name} class={before[i] !== undefined && before[i] !== value ? 'changed' : ''}>
            <dt>{name}</dt>
            <dd>{addressText(BigInt.asUintN(isLong ? 64 : 32, value), mode)}</dd>
          </div>
        ))}
      </dl>
      <p>
        <span class="soft">flags</span> {flags.toString(16).padStart(8, '0')}{' '}
        {FLAGS.map(([bit, name]) => (
          <span key={name} class={((flags >>> bit) & 1) === 1 ? 'flag set' : 'flag'}>
            {name}
          </span>
        ))}
      </p>
      <dl class="few">
        {Object.entries(control).map(([name, value]) => (
          <div key={name}>
            <dt>{name.toUpperCase()}</dt>
            <dd>{value.toString(16)}</dd>
          </div>
        ))}
        {segments.map(({ name, selector, base }) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>
              {selector.toString(16).padStart(4, '0')} <span class="soft">{base.toString(16)}</span>
            </dd>
          </div>
        ))}
      </dl>
    </div>
  )
}
