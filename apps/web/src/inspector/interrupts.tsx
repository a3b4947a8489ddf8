import type { InterruptView } from '@retrap/web'
import { TableHead } from '../fields.tsx'

const hex = (value: number): string => `0x${value.toString(16).padStart(2, '0')}`
const list = (vectors: readonly number[]): string => vectors.map(hex).join(' ') || 'none'
const bits = (value: number): string => value.toString(2).padStart(8, '0')

export function Interrupts({ interrupts: { localApics, ioApic, pics } }: { interrupts: InterruptView }) {
  return (
    <details>
      <summary>Interrupts</summary>
      <div class="scroll" tabIndex={0} role="region" aria-label="Interrupt controllers">
        <table>
          <caption>Local APICs</caption>
          <TableHead columns={['vCPU', 'Task priority', 'Requested', 'In service', 'Timer']} />
          <tbody>
            {localApics.map((apic, i) => (
              <tr key={i}>
                <th scope="row">{i}</th>
                <td>{hex(apic.taskPriority)}</td>
                <td>{list(apic.requested)}</td>
                <td>{list(apic.inService)}</td>
                <td>{apic.timerVector === null ? 'masked' : hex(apic.timerVector)}</td>
              </tr>
            ))}
          </tbody>
        </table>
        <table>
          <caption>I/O APIC: inputs that are not masked, or asserted</caption>
          <TableHead columns={['Input', 'Vector', 'Trigger', 'Line', 'Masked']} />
          <tbody>
            {ioApic.length === 0 && (
              <tr>
                <td colSpan={5}>none</td>
              </tr>
            )}
            {ioApic.map((one) => (
              <tr key={one.input}>
                <th scope="row">{one.input}</th>
                <td>{hex(one.vector)}</td>
                <td>{one.trigger}</td>
                <td>{one.asserted ? 'asserted' : 'idle'}</td>
                <td>{one.masked ? 'yes' : 'no'}</td>
              </tr>
            ))}
          </tbody>
        </table>
        <table>
          <caption>i8259 pair: bits of inputs 7 to 0</caption>
          <TableHead columns={['Chip', 'First vector', 'Mask', 'Lines', 'In service']} />
          <tbody>
            {pics.map((pic, i) => (
              <tr key={i}>
                <th scope="row">{i === 0 ? 'first' : 'second'}</th>
                <td>{hex(pic.firstVector)}</td>
                <td>{bits(pic.mask)}</td>
                <td>{bits(pic.lines)}</td>
                <td>{bits(pic.inService)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </details>
  )
}
