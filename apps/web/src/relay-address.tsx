import { TextField } from './fields.tsx'
import { RELAYS, type RelayKind } from './settings.ts'

interface RelayAddressProps {
  kind: RelayKind
  value: string
  change: (value: string) => void
}

/** A field for the address of a relay. */
export function RelayAddress({ kind, value, change }: RelayAddressProps) {
  return (
    <TextField
      label="Address of the relay"
      type="url"
      required
      pattern={RELAYS[kind].pattern}
      title={`An address that begins with ${RELAYS[kind].starts}`}
      placeholder="wss://"
      {...{ value, change }}
    />
  )
}
