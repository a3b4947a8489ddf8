import { Btf } from './btf.ts'
import { SymbolsError } from './errors.ts'
import { type GuestRam, type LinuxMemory, ramOf } from './guest-ram.ts'
import { linuxSymbols } from './kallsyms.ts'
import { SymbolTable } from './symbol-table.ts'

const PAGE_BYTES = 4096
/** Where x86-64 kernels are mapped (Linux, Documentation/arch/x86/x86_64/mm.rst, "kernel text mapping"). */
const TEXT_START = 0xffff_ffff_8000_0000n
const TEXT_END = 0xffff_ffff_c000_0000n
/** A kernel is loaded at a multiple of this (CONFIG_PHYSICAL_ALIGN). */
const ALIGN_BYTES = 2 << 20
const BANNER = new TextEncoder().encode('Linux version ')
const MOST_BTF_BYTES = 64 << 20
const MOST_READ_BYTES = 64 << 20

/** Bits of an entry of a page table. Source: Intel SDM vol. 3A, "4-Level Paging and 5-Level Paging". */
const PRESENT = 1n
const LARGE = 1n << 7n
const ADDRESS = 0x000f_ffff_ffff_f000n

/** A place of some bytes in the kernel's memory. */
export interface LinuxField {
  readonly offset: number
  readonly bytes: number
}

/** A Linux kernel for x86-64 in a machine's memory: its symbols, its types, and memory at its own linear addresses. */
export class LinuxGuest {
  readonly symbols: SymbolTable
  #ram: GuestRam
  /** Subtracted from an address of the kernel's image for its guest-physical address. */
  readonly #toPhysical: bigint
  readonly #root: number
  readonly #levels: number
  #btf: Btf | undefined

  /**
   * Finds the kernel running in a machine, whatever its vCPUs do.
   *
   * @throws SymbolsError `ERR_MISSING` if none is found, `ERR_UNSUPPORTED` for another processor's
   */
  constructor(machine: LinuxMemory) {
    const symbols = linuxSymbols(machine)
    if (symbols.length === 0) throw missing('there is none that has its table of symbols (CONFIG_KALLSYMS)')
    this.symbols = new SymbolTable(symbols, 0n)
    this.#ram = ramOf(machine)
    const text = this.addressOf('_stext')
    if (text < TEXT_START || text >= TEXT_END) {
      const what = `its code is at 0x${text.toString(16)}; expected a kernel for x86-64`
      throw new SymbolsError('ERR_UNSUPPORTED', 'this Linux cannot be read', what)
    }
    const place = this.#findImage(this.addressOf('linux_banner'))
    if (place === undefined) throw missing('its text linux_banner is not in memory')
    this.#toPhysical = place
    this.#root = Number(this.addressOf('init_top_pgt') - place)
    const fiveLevels = this.symbols.addressOf('__pgtable_l5_enabled')
    this.#levels = fiveLevels !== undefined && this.#image(fiveLevels, 4)?.[0] === 1 ? 5 : 4
  }

  /** Updates to the present machine. @returns whether the same kernel still runs */
  renew(machine: LinuxMemory): boolean {
    this.#ram = ramOf(machine)
    return isBanner(this.#image(this.addressOf('linux_banner'), BANNER.length))
  }

  /** Address of a symbol. @throws SymbolsError `ERR_MISSING` */
  addressOf(name: string): bigint {
    const address = this.symbols.addressOf(name)
    if (address === undefined) throw missing(`its table of symbols does not have ${name} (CONFIG_KALLSYMS_ALL)`)
    return address
  }

  /** The kernel's types. @throws SymbolsError `ERR_MISSING` for a kernel without type information */
  get btf(): Btf {
    if (this.#btf !== undefined) return this.#btf
    const start = this.symbols.addressOf('__start_BTF')
    const end = this.symbols.addressOf('__stop_BTF')
    if (start === undefined || end === undefined || end <= start || end - start > MOST_BTF_BYTES)
      throw missing('it does not have its types (CONFIG_DEBUG_INFO_BTF)')
    this.#btf = new Btf(this.read(start, Number(end - start)))
    return this.#btf
  }

  /** Place of a member of a structure. @throws SymbolsError `ERR_MISSING` where the kernel does not have it */
  field(struct: string, path: string): LinuxField {
    const member = this.btf.member(struct, path)
    if (member === undefined) throw missing(`its struct ${struct} does not have ${path}`)
    return member
  }

  /** Reads memory at a linear address of the kernel. @throws SymbolsError `ERR_MISSING` where nothing is mapped */
  read(address: bigint, bytes: number): Uint8Array {
    if (bytes > MOST_READ_BYTES) throw missing(`${bytes} bytes at 0x${address.toString(16)} are too many`)
    const into = new Uint8Array(bytes)
    for (let done = 0; done < bytes;) {
      const at = BigInt.asUintN(64, address + BigInt(done))
      const inPage = Math.min(bytes - done, PAGE_BYTES - Number(at & 0xfffn))
      const physical = this.#walk(at)
      const piece = physical === undefined ? undefined : this.#ram.read(physical, inPage)
      if (piece === undefined) throw missing(`no memory is at 0x${at.toString(16)}`)
      into.set(piece, done)
      done += inPage
    }
    return into
  }

  /** Reads an unsigned number of up to 8 bytes. @throws SymbolsError `ERR_MISSING` */
  readNumber(address: bigint, bytes: number): bigint {
    let value = 0n
    for (const byte of this.read(address, Math.min(bytes, 8)).reverse()) value = (value << 8n) | BigInt(byte)
    return value
  }

  /** Reads a member of a structure that is a number or a pointer. @throws SymbolsError `ERR_MISSING` */
  readField(at: bigint, { offset, bytes }: LinuxField): bigint {
    return this.readNumber(at + BigInt(offset), bytes)
  }

  #image(address: bigint, bytes: number): Uint8Array | undefined {
    return this.#ram.read(Number(address - this.#toPhysical), bytes)
  }

  /** Tries all places where a kernel may have been loaded. */
  #findImage(banner: bigint): bigint | undefined {
    for (const { from, bytes } of this.#ram.stretches) {
      const inAlign = Number(banner % BigInt(ALIGN_BYTES))
      for (let at = from - (from % ALIGN_BYTES) + inAlign; at + BANNER.length <= from + bytes; at += ALIGN_BYTES)
        if (isBanner(this.#ram.read(at, BANNER.length))) return banner - BigInt(at)
    }
    return undefined
  }

  /** Walks the kernel's own page tables, which map all of its memory. @returns the guest-physical address */
  #walk(address: bigint): number | undefined {
    let table = this.#root
    for (let level = this.#levels; level > 0; level--) {
      const shift = BigInt(12 + 9 * (level - 1))
      const bytes = this.#ram.read(table + 8 * Number((address >> shift) & 0x1ffn), 8)
      if (bytes === undefined) return undefined
      const entry = new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0, true)
      if ((entry & PRESENT) === 0n) return undefined
      if (level === 1 || (level <= 3 && (entry & LARGE) !== 0n)) {
        const inside = (1n << shift) - 1n
        return Number((entry & ADDRESS & ~inside) | (address & inside))
      }
      table = Number(entry & ADDRESS)
    }
    return undefined
  }
}

const missing = (what: string): SymbolsError => new SymbolsError('ERR_MISSING', 'Linux in memory', what)

const isBanner = (bytes: Uint8Array | undefined): boolean => BANNER.every((byte, i) => bytes?.[i] === byte)
