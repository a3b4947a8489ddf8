import type { Machine, VcpuView } from '@retrap/web'
import { useEffect, useState } from 'preact/hooks'
import { addressText } from '../inspector/disassembly.ts'
import { useNames } from './symbols.tsx'
import { hex } from './stop-text.ts'
import type { DebuggerView } from './use-debugger.ts'

/** Instructions that are shown from the next one on. */
const ROWS = 12
const CODE_BYTES = 192

interface Row {
  readonly address: bigint
  readonly text: string
}

interface CodeProps extends Pick<DebuggerView, 'stops' | 'setStops'> {
  readonly machine: Machine
  readonly vcpu: VcpuView
  readonly attempt: (action: () => Promise<unknown>) => void
}

/** The code that is next: a button before each instruction has the machine stop there. */
export function Code({ machine, vcpu, stops, setStops, attempt }: CodeProps) {
  const rows = useRows(machine, vcpu)
  const names = useNames(
    machine,
    rows.map(({ address }) => address),
  )
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
    <section aria-label="Code">
      <h3>Code{names[0] ? `: ${names[0]}` : ''}</h3>
      <div class="code rows" role="region" tabIndex={0} aria-label="Next instructions">
        <ol>
          {rows.map(({ address, text }, i) => {
            const isSet = stops.some((stop) => stop.address === address)
            return (
              <li key={String(address)} class={i === 0 ? 'next' : ''} aria-current={i === 0 ? 'step' : undefined}>
                <button
                  class={isSet ? 'dot set' : 'dot'}
                  aria-pressed={isSet}
                  aria-label={`Breakpoint at ${hex(address)}`}
                  onClick={() => attempt(() => toggle(address))}
                />
                <span class="soft">{addressText(address, vcpu.mode)}</span> {text}
              </li>
            )
          })}
        </ol>
      </div>
    </section>
  )
}

function useRows(machine: Machine, { address, mode }: VcpuView): readonly Row[] {
  const [rows, setRows] = useState<readonly Row[]>([])
  useEffect(() => {
    let isOver = false
    const read = async (): Promise<void> => {
      const [bytes, { decodeAll, formatIntel }] = await Promise.all([
        machine.debugger.readMemory({ address, length: CODE_BYTES }),
        import('@retrap/x86-decoder'),
      ])
      const found: Row[] = []
      let at = address
      for (const instruction of decodeAll(bytes, { mode, address })) {
        if (found.length === ROWS) break
        found.push({ address: at, text: formatIntel(instruction, { address: at }) })
        at += BigInt(instruction.length)
      }
      if (!isOver) setRows(found)
    }
    read().catch(() => setRows([]))
    return () => {
      isOver = true
    }
  }, [machine, address, mode])
  return rows
}
