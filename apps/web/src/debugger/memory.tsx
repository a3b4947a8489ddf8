import type { Machine, WriterView } from '@retrap/web'
import { useEffect, useState } from 'preact/hooks'
import { placeOf } from './addresses.ts'
import { SymbolField, useNames } from './symbols.tsx'
import { hex } from './stop-text.ts'
import type { DebuggerView } from './use-debugger.ts'

const ROW_BYTES = 16
const SHOWN_BYTES = 16 * ROW_BYTES
/** Printable characters of ASCII. */
const [FIRST_PRINTABLE, LAST_PRINTABLE] = [0x20, 0x7e]

interface MemoryProps {
  readonly machine: Machine
  /** Instructions that have retired: it is read again with each. */
  readonly instruction: number
  /** Of a recorded machine; null: nobody knows who wrote a byte. */
  readonly past: Pick<DebuggerView, 'go' | 'isBusy'> | null
  /** Shown at first. */
  readonly stackPointer: bigint
  readonly attempt: (action: () => Promise<unknown>) => void
}

/** Says who wrote a byte. */
function writerText(writer: WriterView, name: string | null): string {
  switch (writer.by) {
    case 'instruction':
      return `The instruction at ${hex(writer.address)}${name === null ? '' : `, ${name},`} of vCPU ${writer.cpu} wrote it.`
    case 'device':
      return `The device ${writer.device} wrote it, by DMA.`
    case 'machine':
      return 'The machine wrote it, between two instructions.'
    case 'nobody':
      return 'Nobody has written it since the recording began.'
    case 'unknown':
      return `That is not known: ${writer.message}.`
  }
}

/** Memory where the debugger is, and who wrote it, which a recording knows. */
export function Memory({ machine, instruction, past, stackPointer, attempt }: MemoryProps) {
  const [text, setText] = useState('')
  const [start, setStart] = useState<bigint | null>(null)
  const [isPhysical, setPhysical] = useState(false)
  const [bytes, setBytes] = useState<Uint8Array>(new Uint8Array())
  const [writer, setWriter] = useState<WriterView | null>(null)
  const [isAsking, setAsking] = useState(false)
  const from = start ?? stackPointer
  const [named = null] = useNames(machine, writer?.by === 'instruction' ? [writer.address] : [])
  useEffect(() => {
    let isOver = false
    void machine.debugger
      .readMemory({ address: from, length: SHOWN_BYTES, physical: isPhysical })
      .catch(() => new Uint8Array())
      .then((read) => !isOver && setBytes(read))
    return () => {
      isOver = true
    }
  }, [machine, from, isPhysical, instruction])
  const ask = async (): Promise<void> => {
    const { address, physical } = text === '' ? { address: from, physical: false } : await placeOf(machine, text)
    setAsking(true)
    setWriter(null)
    try {
      setWriter(await machine.debugger.whoWrote({ address, physical: physical || isPhysical }))
    } finally {
      setAsking(false)
    }
  }
  return (
    <section aria-label="Memory">
      <h3>Memory</h3>
      <form
        class="actions"
        onSubmit={(event) => {
          event.preventDefault()
          attempt(async () => {
            const place = text === '' ? null : await placeOf(machine, text)
            setStart(place?.address ?? null)
            if (place?.physical === true) setPhysical(true)
            setWriter(null)
          })
        }}
      >
        <SymbolField
          machine={machine}
          label="Address"
          placeholder={`the stack: ${hex(stackPointer)}`}
          value={text}
          change={setText}
        />
        <label class="check">
          <input type="checkbox" checked={isPhysical} onChange={(event) => setPhysical(event.currentTarget.checked)} />
          Guest-physical
        </label>
        <button type="submit">Show</button>
        {past !== null && (
          <button type="button" disabled={isAsking || past.isBusy} onClick={() => attempt(ask)}>
            Who wrote this?
          </button>
        )}
      </form>
      <p role="status">
        {isAsking ? 'The run is searched …' : writer === null ? '' : writerText(writer, named)}{' '}
        {past !== null && writer !== null && 'instruction' in writer && (
          <button
            disabled={past.isBusy}
            onClick={() => attempt(() => past.go(() => machine.debugger.goto(writer.instruction)))}
          >
            Go there
          </button>
        )}
      </p>
      <pre class="code bytes" role="region" tabIndex={0} aria-label={`Memory from ${hex(from)}`}>
        {bytes.length === 0 ? 'There is no memory at this address.' : dumpOf(from, bytes)}
      </pre>
    </section>
  )
}

/** Bytes as hexadecimal digits and as characters. */
function dumpOf(from: bigint, bytes: Uint8Array): string {
  const lines: string[] = []
  for (let at = 0; at < bytes.length; at += ROW_BYTES) {
    const row = [...bytes.subarray(at, at + ROW_BYTES)]
    const digits = row.map((byte) => byte.toString(16).padStart(2, '0')).join(' ')
    const characters = row.map((byte) =>
      byte >= FIRST_PRINTABLE && byte <= LAST_PRINTABLE ? String.fromCharCode(byte) : '.',
    )
    const address = (from + BigInt(at)).toString(16).padStart(16, '0')
    lines.push(`${address}  ${digits.padEnd(3 * ROW_BYTES)} ${characters.join('')}`)
  }
  return lines.join('\n')
}
