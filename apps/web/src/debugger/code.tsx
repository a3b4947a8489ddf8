import { useEffect, useLayoutEffect, useRef } from 'preact/hooks'
import { addressText, type Vcpu } from '../inspector/disassembly.ts'
import type { PanelProps } from '../tabs.tsx'
import { rowOf } from './listing.ts'
import { useNames } from './symbols.tsx'
import { hex } from './stop-text.ts'
import type { DebuggerView } from './use-debugger.ts'
import { useListing, useRows } from './use-listing.ts'

interface CodeProps extends Pick<DebuggerView, 'stops'>, Pick<PanelProps, 'machine' | 'attempt'> {
  readonly setStops: (stops: DebuggerView['stops']) => void
  readonly vcpu: Vcpu
}

/** Whether a row is visible. */
const isInside = ({ range }: ReturnType<typeof useRows>, row: number): boolean =>
  range !== null && row > range.startIndex && row < range.endIndex

/** The code around the next instruction: a button before each instruction has the machine stop at it. */
export function Code({ machine, vcpu, stops, setStops, attempt }: CodeProps) {
  const place = useRef<HTMLDivElement>(null)
  const { listing, see } = useListing(machine, vcpu)
  const { mode, rows } = listing
  const virtual = useRows(place, rows.length)
  const shown = virtual.getVirtualItems()
  const { index: first, start } = shown[0] ?? { index: 0, start: 0 }
  const next = rowOf(listing, vcpu.address)
  const [name = null] = useNames(machine, [vcpu.address])
  useEffect(() => see(first + shown.length))
  useLayoutEffect(() => {
    if (next >= 0) virtual.scrollToIndex(next, { align: isInside(virtual, next) ? 'auto' : 'center' })
  }, [virtual, next, rows[0]?.address])
  const toggle = async (address: bigint): Promise<void> => {
    const there = stops.find((stop) => stop.address === address)
    if (there === undefined) {
      const remove = await machine.debugger.stopAt({ kind: 'breakpoint', address })
      return setStops([...stops, { text: `Before the instruction at ${hex(address)}`, address, remove }])
    }
    await there.remove()
    setStops(stops.filter((stop) => stop !== there))
  }
  return (
    <section aria-label="Code" class="whole">
      <h3>Code{name === null ? '' : `: ${name}`}</h3>
      <div class="code rows" role="region" tabIndex={0} aria-label="Instructions" ref={place}>
        <ol style={{ height: `${virtual.getTotalSize()}px`, paddingTop: `${start}px` }}>
          {rows.slice(first, first + shown.length).map(({ address, text }, i) => {
            const row = first + i
            const isSet = stops.some((stop) => stop.address === address)
            return (
              <li
                key={String(address)}
                class={row === next ? 'next' : ''}
                aria-current={row === next ? 'step' : undefined}
                aria-posinset={row + 1}
                aria-setsize={-1}
              >
                <button
                  // Rows go on and on: Tab leads past them. An address can be given under Stops, too.
                  tabIndex={-1}
                  class={isSet ? 'dot set' : 'dot'}
                  aria-pressed={isSet}
                  aria-label={`Breakpoint at ${hex(address)}`}
                  onClick={() => attempt(() => toggle(address))}
                />
                <span class="soft">{addressText(address, mode)}</span> {text}
              </li>
            )
          })}
        </ol>
        {listing.isWhole && rows.length === 0 && 'There is no memory at the next instruction.'}
      </div>
    </section>
  )
}
