import { useEffect, useState } from 'preact/hooks'
import { ActionForm } from '../fields.tsx'
import { useRead } from '../inspector/view.ts'
import type { PanelProps } from '../tabs.tsx'
import { placeOf } from './addresses.ts'
import { askedAt, Menu, type OpenMenu, walkAsked } from './menu.tsx'
import { SymbolField } from './symbols.tsx'
import { hex } from './stop-text.ts'
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
  useEffect(() => {
    if (shown === null) return
    setStart(shown.address)
    setPhysical(shown.physical === true)
    setText('')
  }, [shown])
  const from = start ?? stackPointer
  const place = { address: from, length: SHOWN_BYTES, physical: isPhysical }
  const read = (): Promise<Uint8Array> => machine.debugger.readMemory(place).catch(() => new Uint8Array())
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
    <section aria-label="Memory" class="whole">
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
        <Rows from={from} bytes={bytes} />
      </div>
    </section>
  )
}

/** Bytes with their addresses and characters. */
function Rows({ from, bytes }: { from: bigint; bytes: Uint8Array }) {
  const rows = Array.from({ length: Math.ceil(bytes.length / ROW_BYTES) }, (_, i) => i * ROW_BYTES)
  return rows.map((at) => (
    <div key={at}>
      <span class="soft">{(from + BigInt(at)).toString(16).padStart(16, '0')}</span>{' '}
      {[...bytes.subarray(at, at + ROW_BYTES)].map((byte, i) => (
        <span key={i} tabIndex={-1} data-ask={String(from + BigInt(at + i))}>
          {byte.toString(16).padStart(2, '0')}
        </span>
      ))}{' '}
      {[...bytes.subarray(at, at + ROW_BYTES)].map(characterOf).join('')}
    </div>
  ))
}

const characterOf = (byte: number): string =>
  byte >= FIRST_PRINTABLE && byte <= LAST_PRINTABLE ? String.fromCharCode(byte) : '.'
