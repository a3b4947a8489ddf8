import type { Machine, NetworkOptions } from '@retrap/web'
import { useState } from 'preact/hooks'
import { NETWORK_NAMES, NETWORK_NOTES, type NetworkKind } from './settings.ts'

interface NetworkPanelProps {
  readonly machine: Machine
  /** What the cable is plugged into at first. */
  readonly network: NetworkOptions
  readonly attempt: (action: () => Promise<unknown>) => void
}

/** Where the cable of the machine's network card leads; it can be plugged in elsewhere while the machine runs. */
export function NetworkPanel({ machine, network, attempt }: NetworkPanelProps) {
  const [kind, setKind] = useState<NetworkKind>(network.kind)
  const [relay, setRelay] = useState(network.kind === 'relay' ? String(network.url) : '')
  return (
    <section class="panel" aria-label="Network">
      <h3>Network</h3>
      <div class="fields">
        <label>
          Network cable
          <select
            value={kind}
            onChange={(event) => {
              const next = event.currentTarget.value as NetworkKind
              setKind(next)
              if (next !== 'relay') attempt(() => machine.connectNetwork({ kind: next }))
            }}
          >
            {Object.entries(NETWORK_NAMES).map(([value, name]) => (
              <option value={value}>{name}</option>
            ))}
          </select>
        </label>
      </div>
      {kind === 'relay' && (
        <form
          class="fields"
          onSubmit={(event) => {
            event.preventDefault()
            attempt(() => machine.connectNetwork({ kind, url: relay }))
          }}
        >
          <RelayAddress value={relay} change={setRelay} />
          <button type="submit">Connect</button>
        </form>
      )}
      <p class="soft">{NETWORK_NOTES[kind]}</p>
    </section>
  )
}

/** Where a relay is. */
export function RelayAddress({ value, change }: { value: string; change: (value: string) => void }) {
  return (
    <label>
      Address of the relay
      <input
        type="url"
        required
        pattern="wss?://.+"
        title="An address that begins with wss:// or ws://"
        placeholder="wss://"
        value={value}
        onInput={(event) => change(event.currentTarget.value)}
      />
    </label>
  )
}
