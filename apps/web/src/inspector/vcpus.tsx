import type { ArmVcpuView, Machine, WaitView } from '@retrap/web'
import { useState } from 'preact/hooks'
import { WideTable } from '../fields.tsx'
import type { PanelProps } from '../tabs.tsx'
import { SyndromeFields } from '../tools/syndrome-fields.tsx'
import { Wait } from './devices.tsx'
import { type Decode, disassembled, type Vcpu } from './disassembly.ts'
import { Registers } from './registers.tsx'

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

/** The effect of an access, by `AccessOutcome` of `@retrap/replay`. */
const EFFECTS: Readonly<Record<WaitView['log'][number]['outcome'], string>> = {
  kept: 'kept',
  made: 'made once',
  held: 'held',
  asked: 'device asked',
  answered: 'device answered',
  open: 'not made yet',
}

interface WaitingInstructionProps {
  readonly number: number
  readonly vcpu: WaitView
}

const accesses = (count: number): string => (count === 1 ? '1 access' : `${count} accesses`)

/** The accesses of an interrupted instruction: on resuming, it replays the recorded ones instead of repeating them. */
function WaitingInstruction({ number, vcpu: { log, passes, replayed, reachedDevices } }: WaitingInstructionProps) {
  return (
    <details>
      <summary>The log of the instruction in the middle: {accesses(log.length)}</summary>
      {passes > 0 && (
        <p class="soft">
          Pass {passes}. The next one replays {accesses(replayed)}; {reachedDevices} of {log.length} reached a device,
          and none does so again. Later passes see the bytes that are kept; writes that are held are made when the
          instruction ends.
        </p>
      )}
      <WideTable
        label={`Log of vCPU ${number}`}
        columns={['#', 'Access', 'Address', 'Effect', 'Bytes', 'Tag', 'Data']}
        looks={['', '', 'code', '', '', 'code', 'code']}
        rows={log.map((one) => [
          one.ordinal,
          one.kind,
          one.address,
          EFFECTS[one.outcome],
          one.size,
          `${one.operand}.${one.element}`,
          one.data,
        ])}
      />
    </details>
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
