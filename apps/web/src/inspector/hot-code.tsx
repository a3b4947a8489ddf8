import type { CompiledView, Machine, PcView } from '@retrap/web'
import { useEffect, useRef, useState } from 'preact/hooks'
import { addressText, type Decode, disassembled } from './disassembly.ts'

/** Between two looks at the list. */
const LOOK_MS = 2000

interface HotCodeProps {
  readonly machine: Machine
  /** The last look: code in which processors are found is hot. */
  readonly view: PcView
  readonly decode: Decode | null
}

/** Hot guest code, and the WebAssembly that it was compiled to. */
export function HotCode(props: HotCodeProps) {
  const [isOpen, setOpen] = useState(false)
  return (
    <details onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>Hot code, and the WebAssembly that it became</summary>
      {isOpen && <Units {...props} />}
    </details>
  )
}

/** Weight of an old sample when a new one is added. */
const COOLING = 0.98

/** Heat of each unit: how often processors were found in it, of late. */
function useHeat(view: PcView, units: readonly CompiledView[]): ReadonlyMap<number, number> {
  const heat = useRef(new Map<number, number>())
  useEffect(() => {
    for (const [number, value] of heat.current) heat.current.set(number, value * COOLING)
    for (const { address, idle } of view.vcpus) {
      const unit = idle ? undefined : units.find((one) => one.instructions.some((each) => each.address === address))
      if (unit !== undefined) heat.current.set(unit.number, (heat.current.get(unit.number) ?? 0) + 1)
    }
  }, [view])
  return heat.current
}

function Units({ machine, view, decode }: HotCodeProps) {
  const [units, setUnits] = useState<readonly CompiledView[]>([])
  const [chosen, choose] = useState<CompiledView | null>(null)
  const [wat, setWat] = useState('')
  useEffect(() => {
    const look = (): void => void machine.compiledCode().then(setUnits, () => setUnits([]))
    look()
    const timer = setInterval(look, LOOK_MS)
    return () => clearInterval(timer)
  }, [machine])
  const heat = useHeat(view, units)
  const heatOf = ({ number }: CompiledView): number => heat.get(number) ?? 0
  // Among equally hot units the newest comes first.
  const sorted = units.toSorted((a, b) => heatOf(b) - heatOf(a))
  const hottest = Math.max(1, ...heat.values())
  const unit = chosen ?? sorted[0] ?? null
  useEffect(() => {
    if (unit === null) return
    void import('@retrap/wasm-emitter').then(({ moduleText }) => setWat(moduleText(unit.module)))
  }, [unit?.number])
  if (unit === null) return <p class="soft">Nothing has been compiled yet: code is when it has been hot for a while.</p>
  const guest = unit.instructions.map(({ address, bytes }) =>
    decode === null ? '' : disassembled(decode, { mode: unit.mode, address, bytes }, 1),
  )
  return (
    <>
      <ul class="units" aria-label="Compiled code, the hottest first" tabIndex={0}>
        {(sorted.some(({ number }) => number === unit.number) ? sorted : [unit, ...sorted]).map((one) => (
          <li key={one.number}>
            <button aria-pressed={one.number === unit.number} onClick={() => choose(one)}>
              <meter min={0} max={hottest} value={heatOf(one)} aria-label="Heat" />
              {`${one.number}: ${addressText(one.instructions[0]?.address ?? 0n, one.mode)}, ${one.instructions.length} instructions, ${one.module.length} bytes`}
            </button>
          </li>
        ))}
      </ul>
      <div class="beside">
        <pre role="region" tabIndex={0} aria-label="The guest's instructions">
          {guest.join('\n')}
        </pre>
        <pre role="region" tabIndex={0} aria-label="The WebAssembly">
          {wat}
        </pre>
      </div>
    </>
  )
}
