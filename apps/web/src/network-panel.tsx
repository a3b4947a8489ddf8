import type { NetworkOptions } from '@retrap/web'
import { useState } from 'preact/hooks'
import { ActionForm, Choice } from './fields.tsx'
import { NETWORK_NOTES, RelayAddress } from './relay-address.tsx'
import { isRelay, NETWORKS, type NetworkKind } from './settings.ts'
import type { PanelProps } from './tabs.tsx'

/** The network of the machine's card, which can be changed while the machine runs. */
export function NetworkPanel({ machine, chosen, plugged, attempt }: PanelProps) {
  const network = chosen.options.network!
  const [kind, setKind] = useState<NetworkKind>(network.kind)
  const [relay, setRelay] = useState('url' in network ? String(network.url) : '')
  const plug = (next: NetworkOptions): void =>
    attempt(async () => {
      await machine.connectNetwork(next)
      plugged(next)
    })
  return (
    <>
      <div class="fields">
        <Choice
          label="Network cable"
          value={kind}
          choices={NETWORKS}
          change={(next) => {
            setKind(next)
            if (!isRelay(next)) plug({ kind: next })
          }}
        />
      </div>
      {isRelay(kind) && (
        <ActionForm look="fields" submit={() => plug({ kind, url: relay })}>
          <RelayAddress kind={kind} value={relay} change={setRelay} />
          <button type="submit">Connect</button>
        </ActionForm>
      )}
      <p class="soft">{NETWORK_NOTES[kind]}</p>
    </>
  )
}
