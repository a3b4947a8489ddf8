import type { Machine, RegisterView } from '@retrap/web'
import { useEffect, useRef, useState } from 'preact/hooks'
import type { Vcpu } from '../inspector/disassembly.ts'
import { isListed } from '../inspector/registers.tsx'
import { useRead } from '../inspector/view.ts'

/** Headings of the registers that the panel's first list lacks. */
const LISTS: readonly (readonly [title: string, has: (one: RegisterView) => boolean])[] = [
  ['Floating point, vectors and tiles', ({ list }) => list === 'vector'],
  ['All other registers', ({ list, name }) => list !== 'vector' && !isListed(name)],
]

/** Bits of a tile's row, which is also the largest vector. */
const ROW_BITS = 512
const WORD = /\B(?=([\da-f]{16})+$)/g

/** A value by words of 64 bits, without zeros in front; a tile by its rows. */
function valueText({ bits, value }: RegisterView): string {
  if (bits <= 64) return value.toString(16).padStart(bits / 4, '0')
  if (bits <= ROW_BITS || value === 0n) return value.toString(16).replace(WORD, ' ')
  const rows = Array.from({ length: bits / ROW_BITS }, (_, row) => {
    const part = BigInt.asUintN(ROW_BITS, value >> BigInt(row * ROW_BITS))
    return part === 0n ? '' : `${row}: ${part.toString(16).replace(WORD, ' ')}`
  })
  return rows.filter((row) => row !== '').join('\n')
}

interface MoreRegistersProps {
  readonly machine: Machine
  readonly vcpu: Vcpu
  readonly number: number
}

/** The registers beside the general ones, which are read while a heading is open. Those changed since the last look are marked. */
export function MoreRegisters({ machine, vcpu, number }: MoreRegistersProps) {
  const [opened, setOpened] = useState<readonly string[]>([])
  const [all, setAll] = useState<readonly RegisterView[]>([])
  const last = useRef<ReadonlyMap<string, bigint>>(new Map())
  const before = last.current
  const isOpen = opened.length > 0
  // A machine that has ended says nothing more.
  useRead(isOpen ? () => machine.debugger.registers(number) : null, setAll, [machine, number, vcpu, isOpen])
  useEffect(() => {
    last.current = new Map(all.map(({ name, value }) => [name, value]))
  }, [all])
  const toggle = (title: string, isNow: boolean): void =>
    setOpened((titles) => [...titles.filter((one) => one !== title), ...(isNow ? [title] : [])])
  return (
    <>
      {LISTS.map(([title, has]) => (
        <details key={title} onToggle={(event) => toggle(title, event.currentTarget.open)}>
          <summary>{title}</summary>
          {opened.includes(title) && (
            <div class="registers code" role="region" tabIndex={0} aria-label={`${title} of vCPU ${number}`}>
              <dl class="more">
                {all.filter(has).map((one) => (
                  <div key={one.name} class={(before.get(one.name) ?? one.value) === one.value ? '' : 'changed'}>
                    <dt>{one.name.toUpperCase()}</dt>
                    <dd>{valueText(one)}</dd>
                  </div>
                ))}
              </dl>
            </div>
          )}
        </details>
      ))}
    </>
  )
}
