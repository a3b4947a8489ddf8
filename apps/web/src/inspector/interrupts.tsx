import type { InterruptView } from '@retrap/web'
import { Table } from '../fields.tsx'

const hex = (value: number): string => `0x${value.toString(16).padStart(2, '0')}`
const list = (vectors: readonly number[]): string => vectors.map(hex).join(' ') || 'none'
const bits = (value: number): string => value.toString(2).padStart(8, '0')

const inputRow = ({ input, vector, trigger, asserted, masked }: InterruptView['ioApic'][number]) =>
  [input, hex(vector), trigger, asserted ? 'asserted' : 'idle', masked ? 'yes' : 'no'] as const

export function Interrupts({ interrupts: { localApics, ioApic, pics } }: { interrupts: InterruptView }) {
  return (
    <details>
      <summary>Interrupts</summary>
      <div class="scroll" tabIndex={0} role="region" aria-label="Interrupt controllers">
        <Table
          caption="Local APICs"
          columns={['vCPU', 'Task priority', 'Requested', 'In service', 'Timer']}
          looks={['row']}
          rows={localApics.map(({ taskPriority, requested, inService, timerVector: timer }, i) => [
            i,
            hex(taskPriority),
            list(requested),
            list(inService),
            timer === null ? 'masked' : hex(timer),
          ])}
        />
        <Table
          caption="I/O APIC: inputs that are not masked, or asserted"
          columns={['Input', 'Vector', 'Trigger', 'Line', 'Masked']}
          looks={['row']}
          rows={ioApic.length === 0 ? [['none']] : ioApic.map(inputRow)}
        />
        <Table
          caption="i8259 pair: bits of inputs 7 to 0"
          columns={['Chip', 'First vector', 'Mask', 'Lines', 'In service']}
          looks={['row']}
          rows={pics.map(({ firstVector, mask, lines, inService }, i) => [
            i === 0 ? 'first' : 'second',
            hex(firstVector),
            ...[mask, lines, inService].map(bits),
          ])}
        />
      </div>
    </details>
  )
}
