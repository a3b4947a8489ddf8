import type { ArmBoardView, ArmVcpuView } from '@retrap/web'
import { useEffect, useRef, useState } from 'preact/hooks'
import type { armLines } from '../tools/arm-lines.ts'
import type { PanelProps } from '../tabs.tsx'
import { Wait } from './devices.tsx'
import { addressText } from './disassembly.ts'
import { AddressLook } from './address-look.tsx'
import { Invalidations, MemoryMap } from './memory-map.tsx'
import { SyndromeFields } from '../tools/syndrome-fields.tsx'
import { WaitingInstruction } from './waiting-instruction.tsx'

const MOST_INSTRUCTIONS = 6

interface ArmInspectorProps extends Pick<PanelProps, 'machine' | 'attempt'> {
  readonly view: ArmBoardView
}

/** The state of an Arm board at this moment. */
export function ArmInspector({ machine, view, attempt }: ArmInspectorProps) {
  const [lines, setLines] = useState<typeof armLines | null>(null)
  const [note, setNote] = useState('')
  useEffect(() => void import('../tools/arm-lines.ts').then((loaded) => setLines(() => loaded.armLines)), [])
  const step = async (vcpu: number): Promise<void> => {
    const done = await machine.step(vcpu)
    setNote(done ? '' : `vCPU ${vcpu} waits for an interrupt or for a device: it has not executed an instruction.`)
  }
  return (
    <>
      {view.vcpus.map((vcpu, i) => (
        <section key={i} aria-label={`vCPU ${i}`}>
          <h3>
            vCPU {i}: {vcpu.mode.toUpperCase()} at EL{(vcpu.pstate >>> 2) & 3}, {vcpu.activity}
          </h3>
          <pre class="code next" role="region" tabIndex={0} aria-label={`Next instructions of vCPU ${i}`}>
            {lines === null
              ? ''
              : lines(vcpu.bytes, vcpu.mode, vcpu.address)
                  .slice(0, MOST_INSTRUCTIONS)
                  .map(({ address, text }) => `${addressText(address, vcpu.mode === 'a64' ? 64 : 32)}  ${text}`)
                  .join('\n')}
          </pre>
          <Wait number={i} vcpu={vcpu} />
          {view.vcpus.length > 1 && (
            <button onClick={() => attempt(() => step(i))} aria-label={`Single step of vCPU ${i}`}>
              Single step
            </button>
          )}
          <Registers vcpu={vcpu} number={i} />
          <WaitingInstruction number={i} vcpu={vcpu} />
          {vcpu.abort !== null && <Abort abort={vcpu.abort} />}
        </section>
      ))}
      {note !== '' && <p role="status">{note}</p>}
      <AddressLook machine={machine} instructions={view.instructions} cpus={view.vcpus.length} attempt={attempt} />
      <MemoryMap map={view.map} />
      <Invalidations invalidations={view.invalidations} />
      <p class="soft">
        {view.instructions.toLocaleString('en')} instructions executed since this page has switched it on, or has gone
        on from a snapshot
      </p>
    </>
  )
}

/** The abort for which an instruction waits. */
function Abort({ abort }: { abort: NonNullable<ArmVcpuView['abort']> }) {
  const { register, syndrome, sentence, address, gpa, fields } = abort
  return (
    <details>
      <summary>
        The abort that it waits for: {register} {syndrome.toString(16)}
      </summary>
      <p>
        {sentence} At virtual address <span class="code">{address.toString(16)}</span>, guest-physical{' '}
        <span class="code">{gpa?.toString(16) ?? 'not known'}</span>.
      </p>
      <SyndromeFields fields={fields} />
    </details>
  )
}

/** The fields of PSTATE, by bit. Source: Arm ARM (DDI 0487) C5.2, "SPSR_EL1". */
const FLAGS = [
  [31, 'N'],
  [30, 'Z'],
  [29, 'C'],
  [28, 'V'],
  [9, 'D'],
  [8, 'A'],
  [7, 'I'],
  [6, 'F'],
] as const

/** All registers; those changed since the last look are marked. */
function Registers({ vcpu, number }: { vcpu: ArmVcpuView; number: number }) {
  const { address, registers, sp, pstate, system, pendingInterrupt } = vcpu
  const all = [['PC', address] as const, ['SP', sp] as const, ...registers.map((value, i) => [`X${i}`, value] as const)]
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
            <dd>{addressText(value, 64)}</dd>
          </div>
        ))}
      </dl>
      <p>
        <span class="soft">PSTATE</span> {pstate.toString(16).padStart(8, '0')}{' '}
        {FLAGS.map(([bit, name]) => (
          <span key={name} class={((pstate >>> bit) & 1) === 1 ? 'flag set' : 'flag'}>
            {name}
          </span>
        ))}
        <span class="soft"> next interrupt</span> {pendingInterrupt ?? 'none'}
      </p>
      <dl class="few">
        {Object.entries(system).map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value.toString(16)}</dd>
          </div>
        ))}
      </dl>
    </div>
  )
}
