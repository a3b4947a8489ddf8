import type { AccessRequest, RangeHandler, Word64 } from '../access.ts'
import { DeviceError } from '../errors.ts'
import type { MsiOptions, MsixOptions, PciFunctionState, PciMessages } from '../pci-function.ts'
import { longOf, putLong, putWord, wordOf } from './config-bytes.ts'
import type { PciCapabilities } from './pci-capabilities.ts'

/** Capability ID of MSI. */
export const CAPABILITY_MSI = 0x05
/** Capability ID of MSI-X. */
export const CAPABILITY_MSIX = 0x11

const CONTROL = 2
const MSI_ENABLE = 1 << 0
const MSI_WIDE = 1 << 7
const MSI_MASKING = 1 << 8
const MSIX_FUNCTION_MASK = 1 << 14
const MSIX_ENABLE = 1 << 15
/** Bytes of a table entry: address, upper address, data, control. */
const ENTRY_BYTES = 16
const ENTRY_MASKED = 1
const MAX_VECTORS = 2048

/** Sends a message: a memory write of the function. */
export type SendMessage = (address: number, data: number) => void

/**
 * The message interrupts of one function: its MSI and MSI-X capabilities, the table, masks and pending bits.
 *
 * Source: PCI Local Bus Specification 3.0, §6.8, "Message Signaled Interrupts".
 */
export class FunctionMessages implements PciMessages {
  readonly #config: Uint8Array
  readonly #send: SendMessage
  readonly #msi: MsiRegisters | null
  readonly #msix: MsixTable | null
  /** Bits of MSI vectors that wait to be unmasked. */
  #msiPending = 0

  constructor(
    config: Uint8Array,
    capabilities: PciCapabilities,
    options: { readonly msi?: MsiOptions | undefined; readonly msix?: MsixOptions | undefined },
    send: SendMessage,
  ) {
    this.#config = config
    this.#send = send
    this.#msi = options.msi === undefined ? null : placeMsi(capabilities, options.msi)
    this.#msix = options.msix === undefined ? null : new MsixTable(capabilities, options.msix)
  }

  /** The function's MSI-X table, or null. */
  get table(): MsixTable | null {
    return this.#msix
  }

  get mode(): 'none' | 'msi' | 'msix' {
    if (this.#msix !== null && (this.#control(this.#msix.at) & MSIX_ENABLE) !== 0) return 'msix'
    if (this.#msi !== null && (this.#control(this.#msi.at) & MSI_ENABLE) !== 0) return 'msi'
    return 'none'
  }

  get vectors(): number {
    const { mode } = this
    if (mode === 'msix') return (this.#msix as MsixTable).vectors
    if (mode === 'none') return 0
    const { at, vectors } = this.#msi as MsiRegisters
    // Larger counts are reserved: software that requests more gets the available vectors.
    return Math.min(1 << ((this.#control(at) >>> 4) & 7), vectors)
  }

  #control(at: number): number {
    return wordOf(this.#config, at + CONTROL)
  }

  signal(vector: number): boolean {
    if (!Number.isSafeInteger(vector) || vector < 0) {
      throw new DeviceError('ERR_INVALID', `message vector ${vector}: expected an integer from 0 on`)
    }
    const { mode } = this
    if (mode === 'none') return false
    const which = vector % this.vectors
    if (mode === 'msix') this.#signalMsix(this.#msix as MsixTable, which)
    else this.#signalMsi(this.#msi as MsiRegisters, which)
    return true
  }

  clear(vector: number): void {
    if (this.#msi !== null) {
      this.#msiPending &= ~(1 << (vector % 32))
      this.#showPending(this.#msi)
    }
    this.#msix?.setPending(vector % this.#msix.vectors, false)
  }

  #signalMsix(table: MsixTable, vector: number): void {
    const masked = (this.#control(table.at) & MSIX_FUNCTION_MASK) !== 0 || table.isMasked(vector)
    table.setPending(vector, masked)
    if (!masked) this.#send(table.address(vector), table.data(vector))
  }

  #signalMsi(msi: MsiRegisters, vector: number): void {
    const config = this.#config
    if (msi.mask >= 0 && ((longOf(config, msi.mask) >>> vector) & 1) !== 0) {
      this.#msiPending |= 1 << vector
      return this.#showPending(msi)
    }
    this.#msiPending &= ~(1 << vector)
    this.#showPending(msi)
    const high = msi.upper < 0 ? 0 : longOf(config, msi.upper)
    // The function puts the vector into the low bits that it has been given.
    const data = (wordOf(config, msi.data) & ~(this.vectors - 1)) | vector
    this.#send(high * 2 ** 32 + longOf(config, msi.at + 4), data)
  }

  #showPending(msi: MsiRegisters): void {
    if (msi.mask >= 0) putLong(this.#config, msi.mask + 4, this.#msiPending)
  }

  /** Sends pending vectors that are no longer masked. */
  update(): void {
    const { mode } = this
    if (mode === 'msi' && this.#msiPending !== 0) {
      for (let vector = 0; vector < 32; vector++) {
        if (((this.#msiPending >>> vector) & 1) !== 0) this.#signalMsi(this.#msi as MsiRegisters, vector)
      }
    }
    if (mode !== 'msix') return
    const table = this.#msix as MsixTable
    for (const vector of table.pending()) this.#signalMsix(table, vector)
  }

  reset(): void {
    this.#msiPending = 0
    this.#msix?.reset()
  }

  save(): Pick<PciFunctionState, 'msi' | 'msix'> {
    return {
      ...(this.#msi && { msi: { pending: this.#msiPending >>> 0 } }),
      ...(this.#msix && { msix: this.#msix.save() }),
    }
  }

  restore(state: Pick<PciFunctionState, 'msi' | 'msix'>): void {
    if ((this.#msi === null) !== (state.msi === undefined) || (this.#msix === null) !== (state.msix === undefined)) {
      throw new DeviceError('ERR_STATE', 'saved state of a PCI function with other message capabilities')
    }
    this.#msiPending = (state.msi?.pending ?? 0) | 0
    if (state.msix !== undefined) this.#msix?.restore(state.msix)
  }
}

/** Offsets of an MSI capability's registers; −1: absent. */
interface MsiRegisters {
  readonly at: number
  readonly upper: number
  readonly data: number
  readonly mask: number
  readonly vectors: number
}

function placeMsi(
  capabilities: PciCapabilities,
  { vectors, wide = true, masking = false, at: wanted }: MsiOptions,
): MsiRegisters {
  const order = Math.log2(vectors)
  if (!Number.isInteger(order) || vectors < 1 || vectors > 32) {
    throw new DeviceError('ERR_INVALID', `${vectors} MSI vectors: expected 1, 2, 4, 8, 16 or 32`)
  }
  const data = wide ? 12 : 8
  const bytes = masking ? data + 12 : data + 2
  const body = new Uint8Array(bytes - CONTROL)
  const writable = new Uint8Array(bytes - CONTROL)
  putWord(body, 0, (order << 1) | (wide ? MSI_WIDE : 0) | (masking ? MSI_MASKING : 0))
  putWord(writable, 0, MSI_ENABLE | (7 << 4))
  putLong(writable, 4 - CONTROL, 0xffff_fffc)
  if (wide) putLong(writable, 8 - CONTROL, 0xffff_ffff)
  putWord(writable, data - CONTROL, 0xffff)
  if (masking) putLong(writable, data + 4 - CONTROL, vectors === 32 ? 0xffff_ffff : 2 ** vectors - 1)
  const at = capabilities.add(CAPABILITY_MSI, body, writable, { at: wanted })
  return { at, vectors, upper: wide ? at + 8 : -1, data: at + data, mask: masking ? at + data + 4 : -1 }
}

/** An MSI-X table with its pending bits, accessed through a BAR. */
export class MsixTable {
  /** Place of the capability. */
  readonly at: number
  readonly vectors: number
  readonly tableBar: number
  readonly tableOffset: number
  readonly pbaBar: number
  readonly pbaOffset: number
  readonly #entries: Uint32Array
  readonly #pending: Uint32Array

  constructor(capabilities: PciCapabilities, { vectors, table, pba, at }: MsixOptions) {
    if (!Number.isSafeInteger(vectors) || vectors < 1 || vectors > MAX_VECTORS) {
      throw new DeviceError('ERR_INVALID', `${vectors} MSI-X vectors: expected 1 to ${MAX_VECTORS}`)
    }
    this.vectors = vectors
    this.tableBar = table.bar
    this.tableOffset = table.offset ?? 0
    this.pbaBar = pba?.bar ?? table.bar
    this.pbaOffset = pba?.offset ?? this.tableOffset + vectors * ENTRY_BYTES
    for (const [what, bar, offset] of [
      ['table', this.tableBar, this.tableOffset],
      ['pending bits', this.pbaBar, this.pbaOffset],
    ] as const) {
      if (
        !Number.isSafeInteger(bar) ||
        bar < 0 ||
        bar > 5 ||
        !Number.isSafeInteger(offset) ||
        offset < 0 ||
        offset % 8 !== 0
      ) {
        throw new DeviceError(
          'ERR_INVALID',
          `MSI-X ${what} in BAR ${bar} at ${offset}: expected a BAR 0–5 and a multiple of 8`,
        )
      }
    }
    if (this.pbaBar === this.tableBar && this.pbaOffset < this.tableEnd && this.tableOffset < this.pbaEnd) {
      throw new DeviceError('ERR_INVALID', `MSI-X pending bits at ${this.pbaOffset} overlap the table`)
    }
    this.#entries = new Uint32Array(4 * vectors)
    this.#pending = new Uint32Array(2 * Math.ceil(vectors / 64))
    const body = new Uint8Array(10)
    const writable = new Uint8Array(10)
    putWord(body, 0, vectors - 1)
    putWord(writable, 0, MSIX_FUNCTION_MASK | MSIX_ENABLE)
    putLong(body, 2, (this.tableOffset | this.tableBar) >>> 0)
    putLong(body, 6, (this.pbaOffset | this.pbaBar) >>> 0)
    this.at = capabilities.add(CAPABILITY_MSIX, body, writable, { at })
    this.reset()
  }

  /** First byte behind the table. */
  get tableEnd(): number {
    return this.tableOffset + this.vectors * ENTRY_BYTES
  }

  /** First byte behind the pending bits: whole quadwords. */
  get pbaEnd(): number {
    return this.pbaOffset + 8 * Math.ceil(this.vectors / 64)
  }

  isMasked(vector: number): boolean {
    return (this.#entries[4 * vector + 3]! & ENTRY_MASKED) !== 0
  }

  address(vector: number): number {
    return this.#entries[4 * vector + 1]! * 2 ** 32 + this.#entries[4 * vector]!
  }

  data(vector: number): number {
    return this.#entries[4 * vector + 2]!
  }

  setPending(vector: number, pending: boolean): void {
    const bit = 1 << (vector & 31)
    if (pending) this.#pending[vector >>> 5]! |= bit
    else this.#pending[vector >>> 5]! &= ~bit
  }

  /** Lists the pending vectors. */
  pending(): number[] {
    const found: number[] = []
    for (let word = 0; word < this.#pending.length; word++) {
      const bits = this.#pending[word]!
      for (let bit = 0; bits >>> bit !== 0 && bit < 32; bit++)
        if (((bits >>> bit) & 1) !== 0) found.push(32 * word + bit)
    }
    return found
  }

  reset(): void {
    this.#entries.fill(0)
    // Every vector is masked after reset (§6.8.2.9, "Vector Control for MSI-X Table Entries").
    for (let vector = 0; vector < this.vectors; vector++) this.#entries[4 * vector + 3] = ENTRY_MASKED
    this.#pending.fill(0)
  }

  save(): NonNullable<PciFunctionState['msix']> {
    return { table: Array.from(this.#entries), pending: this.pending() }
  }

  restore({ table, pending }: NonNullable<PciFunctionState['msix']>): void {
    if (table.length !== this.#entries.length || pending.some((vector) => !(vector >= 0 && vector < this.vectors))) {
      throw new DeviceError('ERR_STATE', `saved MSI-X table of ${table.length / 4} vectors: expected ${this.vectors}`)
    }
    this.#entries.set(table)
    this.#pending.fill(0)
    for (const vector of pending) this.setPending(vector, true)
  }

  /** Returns the doubleword at an offset of a BAR, or −1 where neither table nor pending bits are. */
  load(bar: number, offset: number): number {
    if (bar === this.tableBar && offset >= this.tableOffset && offset < this.tableEnd) {
      return this.#entries[(offset - this.tableOffset) >>> 2]!
    }
    if (bar === this.pbaBar && offset >= this.pbaOffset && offset < this.pbaEnd) {
      return this.#pending[(offset - this.pbaOffset) >>> 2]!
    }
    return -1
  }

  /** Writes a doubleword of the table, if the offset is inside; pending bits are read-only. */
  store(bar: number, offset: number, value: number): void {
    if (bar !== this.tableBar || offset < this.tableOffset || offset >= this.tableEnd) return
    const word = (offset - this.tableOffset) >>> 2
    // Reserved bits of the control word read as 0; so do the two low bits of an address.
    this.#entries[word] = (word & 3) === 3 ? value & ENTRY_MASKED : (word & 3) === 0 ? value & ~3 : value
  }
}

/**
 * Handles the table and the pending bits, before a BAR's own handler.
 *
 * @param rest - handles the rest of the BAR; default reads as ones
 * @param changed - called when the guest has written the table
 */
export function msixBarHandler(
  bar: number,
  table: MsixTable,
  rest: RangeHandler | undefined,
  changed: () => void,
): RangeHandler {
  return {
    read: (offset, size, request) => {
      const found = table.load(bar, offset & ~3)
      if (found >= 0) return found >>> (8 * (offset & 3))
      return rest?.read(offset, size, request) ?? 0xffff_ffff
    },
    write: (offset, size, value, request) => {
      if (table.load(bar, offset & ~3) < 0) return rest?.write(offset, size, value, request)
      // Software writes whole doublewords or quadwords (§6.8.2); the effect of other writes is undefined.
      if (size !== 4 || (offset & 3) !== 0) return
      table.store(bar, offset, value)
      changed()
    },
    ...(rest?.read64 && {
      read64: (offset: number, into: Word64, request?: AccessRequest) => {
        const lo = table.load(bar, offset)
        if (lo < 0) return rest.read64?.(offset, into, request)
        into.lo = lo
        into.hi = Math.max(table.load(bar, offset + 4), 0)
      },
    }),
    ...(rest?.write64 && {
      write64: (offset: number, lo: number, hi: number, request?: AccessRequest) => {
        if (table.load(bar, offset) < 0) return rest.write64?.(offset, lo, hi, request)
        table.store(bar, offset, lo)
        table.store(bar, offset + 4, hi)
        changed()
      },
    }),
  }
}
