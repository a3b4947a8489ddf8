import { TextField } from './fields.tsx'
import { type NetworkKind, type RelayKind, RELAYS } from './settings.ts'

/** A remark on each kind. */
export const NETWORK_NOTES: Readonly<Record<NetworkKind, string>> = {
  none: 'The card is there, and its cable leads nowhere.',
  fetch:
    'The guest gets an address by DHCP, and this page makes its requests of HTTP. Only servers that allow web pages (CORS) answer; what the guest encrypts by itself, such as https, cannot pass. Its requests also go to servers of your own network and of this computer (10.0.2.2), without your cookies: start only a guest that you trust with that.',
  tabs: 'All machines in tabs of this site that have chosen the same are on one cable. Nobody gives out addresses there: use, say, ip addr add 10.0.0.1/24 dev eth0.',
  relay:
    'Each Ethernet frame is one binary message of a WebSocket, as with relays for v86 and JSLinux. Whoever runs the relay sees the traffic.',
  wisp: 'The guest gets an address by DHCP, and the relay makes its connections, as with v86. Whoever runs the relay sees which servers the guest talks to, and all that it does not encrypt. Anybody may run a public relay: send no password through one without https or ssh.',
}

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
