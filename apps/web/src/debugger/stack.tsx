import type { CallView, Machine, RunPosition } from '@retrap/web'
import { useState } from 'preact/hooks'
import type { Vcpu } from '../inspector/disassembly.ts'
import { stackOf } from '../inspector/registers.tsx'
import { useRead } from '../inspector/view.ts'
import { useNames } from './symbols.tsx'
import { hex } from './stop-text.ts'

const WORDS = 24

interface StackProps {
  readonly machine: Machine
  readonly vcpu: Vcpu
  readonly position: RunPosition
  readonly show: (address: bigint) => void
}

/** The function and its callers, and the words at the stack pointer, with symbols where known. */
export function Stack({ machine, vcpu, position, show }: StackProps) {
  const [calls, setCalls] = useState<readonly CallView[]>([])
  const [words, setWords] = useState<readonly bigint[]>([])
  const { top, wordBytes: width } = stackOf(vcpu)
  const read = async (): Promise<bigint[]> => {
    const bytes = await machine.debugger.readMemory({ address: top, length: WORDS * width })
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    const count = Math.floor(bytes.length / width)
    const word = (i: number): bigint =>
      width === 8
        ? view.getBigUint64(8 * i, true)
        : BigInt(width === 4 ? view.getUint32(4 * i, true) : view.getUint16(2 * i, true))
    return Array.from({ length: count }, (_, i) => word(i))
  }
  const inputs = [machine, top, width, position.instruction]
  useRead(() => read().catch(() => []), setWords, inputs)
  useRead(() => machine.debugger.calls().catch(() => []), setCalls, inputs)
  const names = useNames(machine, words)
  return (
    <>
      <section aria-label="Calls">
        <h3>Calls</h3>
        <ol class="calls code">
          {calls.map(({ address, name, source }, i) => (
            <li key={i}>
              <button class="plain" title={`Memory at ${hex(address)}`} onClick={() => show(address)}>
                {name ?? hex(address)}
              </button>{' '}
              <span class="soft">{source}</span>
            </li>
          ))}
        </ol>
      </section>
      <section aria-label="Stack">
        <h3>Stack</h3>
        <pre class="code" role="region" tabIndex={0} aria-label="Words at the stack pointer">
          {words
            .map((word, i) => {
              const address = (top + BigInt(width * i)).toString(16).padStart(2 * width, '0')
              return `${address}  ${word.toString(16).padStart(2 * width, '0')}  ${names[i] ?? ''}`.trimEnd()
            })
            .join('\n') || `There is no memory at ${hex(top)}.`}
        </pre>
      </section>
    </>
  )
}
