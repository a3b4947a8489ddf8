import type { CallView, Machine, RunPosition } from '@retrap/web'
import { useEffect, useRef, useState } from 'preact/hooks'
import { ActionForm, TextField } from '../fields.tsx'
import type { Vcpu } from '../inspector/disassembly.ts'
import { stackOf } from '../inspector/registers.tsx'
import { useRead } from '../inspector/view.ts'
import type { PanelProps } from '../tabs.tsx'
import { placeOf } from './addresses.ts'
import { askedAt, Menu, type OpenMenu, walkAsked } from './menu.tsx'
import { hex } from './stop-text.ts'
import { SymbolField, useNames } from './symbols.tsx'
import type { DebuggerView } from './use-debugger.ts'

/** As many bytes as fit beside an address in a narrow panel. */
const ROW_BYTES = 8
const SHOWN_BYTES = 32 * ROW_BYTES
const WATCHED_BYTES = 1
/** Printable characters of ASCII. */
const [FIRST_PRINTABLE, LAST_PRINTABLE] = [0x20, 0x7e]

interface MemoryProps extends Pick<PanelProps, 'machine' | 'attempt'> {
  /** Number of retired instructions: memory is read again when it changes. */
  readonly instruction: number
  readonly past: Pick<DebuggerView, 'ask' | 'isBusy' | 'stops' | 'change'>
  /** Shown at first. */
  readonly stackPointer: bigint
  /** The address to show, requested by another panel. */
  readonly shown: DebuggerView['shown']
}

/** Memory at the debugger's instant, and its last writers. */
export function Memory({ machine, instruction, past, stackPointer, shown, attempt }: MemoryProps) {
  const [text, setText] = useState('')
  const [start, setStart] = useState<bigint | null>(null)
  const [isPhysical, setPhysical] = useState(false)
  const [bytes, setBytes] = useState<Uint8Array>(new Uint8Array())
  const [menu, setMenu] = useState<OpenMenu | null>(null)
  const place = useRef<HTMLElement>(null)
  const marked = shown !== null && isPhysical === (shown.physical === true) ? shown.address : null
  const isRead = bytes.length > 0
  useEffect(() => {
    if (shown === null) return
    // The form above is left out where it would leave no room for the byte.
    place.current!.scrollIntoView({ block: 'nearest' })
    place.current!.querySelector('[aria-current]')?.scrollIntoView({ block: 'nearest' })
  }, [shown, start, isRead])
  useEffect(() => {
    if (shown === null) return
    setStart(shown.address)
    setPhysical(shown.physical === true)
    setText('')
  }, [shown])
  const from = start ?? stackPointer
  const wanted = { address: from, length: SHOWN_BYTES, physical: isPhysical }
  const read = (): Promise<Uint8Array> => machine.debugger.readMemory(wanted).catch(() => new Uint8Array())
  useRead(read, setBytes, [machine, from, isPhysical, instruction])
  const placed = async (): Promise<{ address: bigint; physical: boolean }> => {
    const { address, physical } = text === '' ? { address: from, physical: false } : await placeOf(machine, text)
    return { address, physical: physical || isPhysical }
  }
  const askAt = (place: { address: bigint; physical: boolean }): Promise<void> =>
    past.ask(`The byte at ${hex(place.address)}`, place)
  const openMenu = (event: MouseEvent): void => {
    const cell = askedAt(event)
    if (cell === undefined) return
    event.preventDefault()
    const address = BigInt(cell)
    const watch = async (): Promise<void> => {
      const place = { kind: 'watch', address, length: WATCHED_BYTES, access: 'write' } as const
      const remove = await machine.debugger.stopAt(place)
      past.change({ stops: [...past.stops, { text: `When the byte at ${hex(address)} is written`, remove }] })
    }
    setMenu({
      ...{ x: event.clientX, y: event.clientY, title: `The byte at ${hex(address)}` },
      items: [
        { name: 'Who wrote this?', action: () => attempt(() => askAt({ address, physical: isPhysical })) },
        ...(isPhysical ? [] : [{ name: 'Stop when it is written', action: () => attempt(watch) }]),
      ],
    })
  }
  return (
    <section aria-label="Memory" class="whole" ref={place}>
      {menu !== null && <Menu key={menu.title} menu={menu} close={() => setMenu(null)} />}
      <h3>Memory</h3>
      <ActionForm
        submit={() =>
          attempt(async () => {
            const place = text === '' ? null : await placeOf(machine, text)
            setStart(place?.address ?? null)
            if (place?.physical === true) setPhysical(true)
          })
        }
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
        <button type="button" disabled={past.isBusy} onClick={() => attempt(async () => askAt(await placed()))}>
          Who wrote this?
        </button>
      </ActionForm>
      <div
        class="code bytes"
        role="region"
        tabIndex={0}
        aria-label={`Memory from ${hex(from)}`}
        onContextMenu={openMenu}
        onKeyDown={(event) => walkAsked(event, ROW_BYTES)}
      >
        {bytes.length === 0 && 'There is no memory at this address.'}
        <Rows {...{ from, bytes, marked }} />
      </div>
    </section>
  )
}

/** Bytes with their addresses and characters. */
function Rows({ from, bytes, marked }: { from: bigint; bytes: Uint8Array; marked: bigint | null }) {
  const rows = Array.from({ length: Math.ceil(bytes.length / ROW_BYTES) }, (_, i) => i * ROW_BYTES)
  return rows.map((at) => (
    <div key={at}>
      <span class="soft">{(from + BigInt(at)).toString(16).padStart(16, '0')}</span>{' '}
      {[...bytes.subarray(at, at + ROW_BYTES)].map((byte, i) => (
        <span
          key={i}
          tabIndex={-1}
          data-ask={String(from + BigInt(at + i))}
          aria-current={from + BigInt(at + i) === marked ? 'location' : undefined}
        >
          {byte.toString(16).padStart(2, '0')}
        </span>
      ))}{' '}
      {[...bytes.subarray(at, at + ROW_BYTES)].map(characterOf).join('')}
    </div>
  ))
}

const characterOf = (byte: number): string =>
  byte >= FIRST_PRINTABLE && byte <= LAST_PRINTABLE ? String.fromCharCode(byte) : '.'

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

/** Bytes of a value, of which the lowest come first. */
const VALUE_BYTES = { 1: 2, 2: 4, 4: 8, 8: 16 } as const

/**
 * Reads a searched value or text: digits behind 0x are a value of their length; all else is a text. @throws Error for a value that is too
 * long
 */
function bytesOf(text: string): Uint8Array<ArrayBuffer> {
  const [, digits] = /^0x([\da-f]+)$/i.exec(text.trim()) ?? []
  if (digits === undefined) return new TextEncoder().encode(text) as Uint8Array<ArrayBuffer>
  const bytes = Object.entries(VALUE_BYTES).find(([, most]) => digits.length <= most)?.[0]
  if (bytes === undefined) throw new Error(`'${text}' is too long: expected a value of up to 16 digits`)
  const value = BigInt(`0x${digits}`)
  return Uint8Array.from({ length: Number(bytes) }, (_, i) => Number((value >> BigInt(8 * i)) & 0xffn))
}

interface SearchProps extends Pick<PanelProps, 'machine' | 'attempt'> {
  readonly view: DebuggerView
}

/** Searches the guest's memory where the debugger is, and asks who printed a text. */
export function Search({ machine, view: { ask, change, isBusy }, attempt }: SearchProps) {
  const [text, setText] = useState('')
  const [found, setFound] = useState<readonly number[] | null>(null)
  const search = async (): Promise<void> => {
    if (text !== '') setFound(await machine.debugger.findMemory(bytesOf(text)))
  }
  return (
    <section aria-label="Search">
      <ActionForm submit={() => attempt(search)}>
        <TextField
          label="Text, or a value such as 0x2a"
          autocomplete="off"
          spellcheck={false}
          value={text}
          change={setText}
        />
        <button type="submit" disabled={text === ''}>
          Find in memory
        </button>
        <button
          type="button"
          disabled={isBusy || text === ''}
          onClick={() => attempt(() => ask(`“${text}”`, { printed: text }))}
        >
          Who printed it?
        </button>
      </ActionForm>
      <p role="status" class="soft">
        {found !== null &&
          (found.length === 0
            ? 'It is not in memory at this instant.'
            : `${found.length === 100 ? 'The first 100 places' : found.length === 1 ? 'One place' : `${found.length} places`}, guest-physical:`)}
      </p>
      {found !== null && found.length > 0 && (
        <ul class="found">
          {found.map((gpa) => (
            <li key={gpa}>
              <button class="plain code" onClick={() => change({ shown: { address: BigInt(gpa), physical: true } })}>
                {gpa.toString(16)}
              </button>
            </li>
          ))}
        </ul>
      )}
    </section>
  )
}
