import type { MapView, PcView } from '@retrap/web'
import { Table } from '../fields.tsx'

/** Writes a number of bytes for people. */
export const size = (bytes: number): string =>
  bytes >= 2 ** 20 ? `${(bytes / 2 ** 20).toFixed(1)} MiB` : `${(bytes / 1024).toFixed(0)} KiB`

/** Guest memory by type of frame. */
export function MemoryMap({ map: { bytesByType, leaves, tableBytes } }: { map: MapView }) {
  return (
    <details>
      <summary>Map of guest memory (p2m)</summary>
      <Table
        columns={['Type', 'Size']}
        looks={['row', 'figure']}
        rows={Object.entries(bytesByType).map(([type, bytes]) => [type, size(bytes)])}
      />
      <p class="soft">
        Entries: {leaves['1G']} of 1 GiB, {leaves['2M']} of 2 MiB, {leaves['4K']} of 4 KiB, in {size(tableBytes)} of
        tables.
      </p>
    </details>
  )
}

/** Changes of the map: until each server has acknowledged one, it may have old pages mapped, and processors wait. */
export function Invalidations({ invalidations }: { invalidations: PcView['invalidations'] }) {
  const { epoch, servers, outstanding, waitingVcpus } = invalidations
  const isSettled = outstanding.length === 0 && waitingVcpus.length === 0
  return (
    <details>
      <summary>Pages that left the map: {isSettled ? 'every server has acknowledged' : 'some are outstanding'}</summary>
      <p class="soft">
        The last change has number {epoch}.{' '}
        {waitingVcpus.length > 0 && `Held back until all have acknowledged: vCPU ${waitingVcpus.join(', ')}.`}
      </p>
      <Table
        columns={['Device server', 'Acknowledged', 'State']}
        looks={['row', 'figure']}
        rows={servers.map(({ name, acknowledged, isAwaited }) => [
          name,
          acknowledged,
          isAwaited ? 'awaited' : 'has nothing old',
        ])}
      />
      {outstanding.map((run) => (
        <p key={run.epoch} class="code">
          {run.epoch}: guest frames {run.gfn.toString(16)} to {(run.gfn + run.count - 1).toString(16)}
          {run.writesOnly ? ', not written any more' : `, formerly machine frame ${run.mfn.toString(16)}`}
        </p>
      ))}
    </details>
  )
}
