import type { MapView } from '@retrap/web'

const size = (bytes: number): string =>
  bytes >= 2 ** 20 ? `${(bytes / 2 ** 20).toFixed(1)} MiB` : `${(bytes / 1024).toFixed(0)} KiB`

/** Guest memory by type of frame. */
export function MemoryMap({ map: { bytesByType, leaves, tableBytes } }: { map: MapView }) {
  return (
    <details>
      <summary>Map of guest memory (p2m)</summary>
      <table>
        <thead>
          <tr>
            <th>Type</th>
            <th>Size</th>
          </tr>
        </thead>
        <tbody>
          {Object.entries(bytesByType).map(([type, bytes]) => (
            <tr key={type}>
              <th scope="row">{type}</th>
              <td class="figure">{size(bytes)}</td>
            </tr>
          ))}
        </tbody>
      </table>
      <p class="soft">
        Entries: {leaves['1G']} of 1 GiB, {leaves['2M']} of 2 MiB, {leaves['4K']} of 4 KiB, in {size(tableBytes)} of
        tables.
      </p>
    </details>
  )
}
