import type { ArmVcpuView, WaitView } from '@retrap/web'
import { WideTable } from '../fields.tsx'
import { SyndromeFields } from '../tools/syndrome-fields.tsx'

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
export function WaitingInstruction({
  number,
  vcpu: { log, passes, replayed, reachedDevices },
}: WaitingInstructionProps) {
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
export function Abort({ abort }: { abort: NonNullable<ArmVcpuView['abort']> }) {
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
