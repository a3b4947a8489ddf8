import type { DescribedField } from '@retrap/arm-mmio'
import { WideTable } from '../fields.tsx'

interface SyndromeFieldsProps {
  readonly fields: readonly DescribedField[]
  /** Bits 63:32. */
  readonly high?: bigint
}

/** The fields of an Arm exception syndrome, the highest first. */
export const SyndromeFields = ({ fields, high = 0n }: SyndromeFieldsProps) => (
  <WideTable
    label="Fields of the syndrome"
    looks={['row', 'code', 'code']}
    rows={[
      ...(high === 0n ? [] : [['ISS2', '63:32', high.toString(16), 'not taken apart']]),
      ...fields.map(({ name, bits, value, text }) => [name, bits, value.toString(16), text]),
    ]}
  />
)
