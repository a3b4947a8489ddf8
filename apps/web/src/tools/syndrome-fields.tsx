import type { DescribedField } from '@retrap/arm-mmio'

interface SyndromeFieldsProps {
  readonly fields: readonly DescribedField[]
  /** Bits 63:32. */
  readonly high?: bigint
}

/** The fields of an Arm exception syndrome, the highest first. */
export function SyndromeFields({ fields, high = 0n }: SyndromeFieldsProps) {
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label="Fields of the syndrome">
      <table>
        <tbody>
          {high !== 0n && (
            <tr>
              <th scope="row">ISS2</th>
              <td class="code">63:32</td>
              <td class="code">{high.toString(16)}</td>
              <td>not taken apart</td>
            </tr>
          )}
          {fields.map(({ name, bits, value, text }) => (
            <tr key={name + bits}>
              <th scope="row">{name}</th>
              <td class="code">{bits}</td>
              <td class="code">{value.toString(16)}</td>
              <td>{text}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}
