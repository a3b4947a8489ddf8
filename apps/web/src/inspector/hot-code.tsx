import type { CompiledView, Machine } from '@retrap/web'
import { useEffect, useState } from 'preact/hooks'
import { addressText, type Disassemble } from './disassembly.ts'

/** Between two looks at the list. */
const LOOK_MS = 2000

interface HotCodeProps {
  readonly machine: Machine
  readonly disassemble: Disassemble | null
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

function Units({ machine, disassemble }: HotCodeProps) {
  const [units, setUnits] = useState<readonly CompiledView[]>([])
  const [chosen, choose] = useState<CompiledView | null>(null)
  const [wat, setWat] = useState('')
  useEffect(() => {
    const look = (): void => void machine.compiledCode().then(setUnits, () => setUnits([]))
    look()
    const timer = setInterval(look, LOOK_MS)
    return () => clearInterval(timer)
  }, [machine])
  const unit = chosen ?? units[0] ?? null
  useEffect(() => {
    if (unit === null) return
    void import('@retrap/wasm-emitter').then(({ moduleText }) => setWat(moduleText(unit.module)))
  }, [unit?.number])
  if (unit === null) return <p class="soft">Nothing has been compiled yet: code is when it has been hot for a while.</p>
  const guest = unit.instructions.map(
    ({ address, bytes }) => disassemble?.({ mode: unit.mode, address, bytes }, 1) ?? '',
  )
  return (
    <>
      <label>
        Unit
        <select
          value={String(unit.number)}
          onChange={(event) => {
            const number = Number(event.currentTarget.value)
            choose(units.find((one) => one.number === number) ?? null)
          }}
        >
          {(units.some(({ number }) => number === unit.number) ? units : [unit, ...units]).map((one) => (
            <option key={one.number} value={String(one.number)}>
              {`${one.number}: ${addressText(one.instructions[0]?.address ?? 0n, one.mode)}, ${one.instructions.length} instructions, ${one.module.length} bytes`}
            </option>
          ))}
        </select>
      </label>
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
