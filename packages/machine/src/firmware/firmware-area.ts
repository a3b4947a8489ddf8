import { PAGE_BYTES } from '@retrap/memory'
import type { ShadowRange } from '@retrap/devices'
import type { X86Domain } from '@retrap/hvm'
import { P2mEntry, P2mType } from '@retrap/p2m'
import { MachineError } from '../errors.ts'

/** The area that the PAM registers govern. */
const AREA_FIRST_GFN = 0xc0
const AREA_PAGES = 0x40
const AREA_BASE = AREA_FIRST_GFN * PAGE_BYTES

/** Guest addresses of a part of a firmware image; see `loadFirmware`. */
interface RomRegion {
  readonly gpa: number
  readonly bytes: number
  readonly offset: number
}

/** The saved form of ROM and RAM below 1 MiB. */
export interface FirmwareAreaState {
  /** Version of this form. */
  readonly version: 1
  /** The PAM register's attributes for each page from 0xC0000 to 0xFFFFF. */
  readonly pages: readonly { readonly readRam: boolean; readonly writeRam: boolean }[]
  /** Pages that are RAM regardless of the PAM registers. */
  readonly unlocked: { readonly gpa: number; readonly bytes: number }
  /** RAM behind pages that read ROM, which no guest-physical address leads to. Pages of zeros are left out. */
  readonly hidden: readonly { readonly gpa: number; readonly bytes: Uint8Array }[]
}

/**
 * ROM of a PC: the firmware image below 4 GiB, and 0xC0000 to 0xFFFFF, where
 * the bus's ROM and the RAM behind it lie on top of each other and the host
 * bridge's PAM registers say which one is read and whether RAM is written.
 *
 * Source: Intel 82441FX PMC data sheet (290549), "PAM—Programmable Attribute
 * Map Registers".
 */
export class FirmwareArea {
  readonly #domain: X86Domain
  /** Frames of ROM. */
  readonly #frames: number[] = []
  /** Frame of the bus's ROM and of the RAM behind it, for each page from 0xC0000. */
  readonly #rom: number[] = []
  readonly #ram: number[] = []
  /** Pages that read the bus while RAM takes their writes. */
  readonly #writesToRam: boolean[] = []
  /** The setting of each page's PAM register. */
  readonly #settings: Pick<ShadowRange, 'readRam' | 'writeRam'>[] = []
  /** Pages that are RAM regardless of the PAM registers, as guest-physical addresses. */
  #unlocked = { first: 0, end: 0 }

  /**
   * Maps the image. RAM has been populated from 0xC0000 to 1 MiB before.
   *
   * @param regions - the whole image, ending at 4 GiB unless it lies in flash; and the image's end, up to 1 MiB
   */
  constructor(domain: X86Domain, image: Uint8Array, regions: readonly RomRegion[]) {
    this.#domain = domain
    const { memory, p2m, frameCounts } = domain
    const frames = this.#frames
    for (let at = 0; at < image.length; at += PAGE_BYTES) {
      const mfn = memory.frames.allocate(0)
      frameCounts.adopt(mfn, 1)
      memory.write(mfn * PAGE_BYTES, image.subarray(at, at + PAGE_BYTES))
      frames.push(mfn)
    }
    // Reads without a ROM return ones.
    const floating = memory.frames.allocate(0)
    frameCounts.adopt(floating, 1)
    memory.write(floating * PAGE_BYTES, new Uint8Array(PAGE_BYTES).fill(0xff))
    const images = [...frames]
    frames.push(floating)
    const entry = new P2mEntry()
    for (let page = 0; page < AREA_PAGES; page++) {
      p2m.lookup(AREA_FIRST_GFN + page, entry)
      this.#ram.push(entry.mfn)
      // A page shows ROM or RAM: the reference keeps the frame that is not mapped.
      frameCounts.tryTake(entry.mfn, 1)
      this.#rom.push(floating)
      this.#writesToRam.push(false)
      this.#settings.push({ readRam: false, writeRam: false })
    }
    for (const { gpa, bytes, offset } of regions) {
      for (let at = 0; at < bytes; at += PAGE_BYTES) {
        const mfn = images[(offset + at) / PAGE_BYTES]!
        const page = (gpa + at) / PAGE_BYTES - AREA_FIRST_GFN
        if (page < AREA_PAGES) this.#rom[page] = mfn
        else p2m.insert((gpa + at) / PAGE_BYTES, mfn, 0, P2mType.RAM_RO)
      }
    }
    domain.romWrite = (gpa, size, lo, hi) => this.#writeThrough(gpa, size, lo, hi)
    this.shadow({ gpa: AREA_BASE, bytes: AREA_PAGES * PAGE_BYTES, readRam: false, writeRam: false })
  }

  /** Follows a PAM register. */
  shadow({ gpa, bytes, readRam, writeRam }: ShadowRange): void {
    for (let at = gpa; at < gpa + bytes; at += PAGE_BYTES) {
      this.#settings[(at - AREA_BASE) / PAGE_BYTES] = { readRam, writeRam }
      this.#map(at)
    }
  }

  /**
   * Makes whole pages writable RAM whatever the PAM registers say, instead of the pages before: a TPR patcher writes to
   * an option ROM that firmware has shadowed and locked.
   *
   * @param bytes - 0: none
   */
  unlock(gpa: number, bytes: number): void {
    const { first, end } = this.#unlocked
    this.#unlocked = { first: gpa, end: gpa + bytes }
    for (let at = first; at < end; at += PAGE_BYTES) this.#map(at)
    for (let at = gpa; at < gpa + bytes; at += PAGE_BYTES) this.#map(at)
  }

  /** Saves the state that the map of guest memory does not contain. */
  save(): FirmwareAreaState {
    const { memory } = this.#domain
    const { first, end } = this.#unlocked
    const hidden = this.#ram.flatMap((mfn, page) => {
      if (this.#readsRam(page)) return []
      const bytes = memory.read(mfn * PAGE_BYTES, PAGE_BYTES)
      return bytes.some((byte) => byte !== 0) ? [{ gpa: AREA_BASE + page * PAGE_BYTES, bytes }] : []
    })
    return { version: 1, pages: [...this.#settings], unlocked: { gpa: first, bytes: end - first }, hidden }
  }

  /**
   * Restores a saved state of an area with the same image.
   *
   * @throws MachineError `ERR_STATE` for a state of another version or form
   */
  restore(state: FirmwareAreaState): void {
    if (state.version !== 1 || state.pages.length !== AREA_PAGES) {
      const what = `version ${state.version} with ${state.pages.length} pages`
      throw new MachineError('ERR_STATE', `firmware area ${what}: expected version 1 with ${AREA_PAGES} pages`)
    }
    for (const { gpa, bytes } of state.hidden) {
      const page = (gpa - AREA_BASE) / PAGE_BYTES
      if (this.#ram[page] === undefined || bytes.length !== PAGE_BYTES) {
        const what = `RAM of ${bytes.length} bytes at ${gpa}: expected pages from ${AREA_BASE} to 1 MiB`
        throw new MachineError('ERR_STATE', `firmware area with hidden ${what}`)
      }
    }
    const { gpa, bytes } = state.unlocked
    this.#unlocked = { first: gpa, end: gpa + bytes }
    for (const [page, { readRam, writeRam }] of state.pages.entries()) {
      this.#settings[page] = { readRam, writeRam }
      this.#map(AREA_BASE + page * PAGE_BYTES)
      if (!this.#readsRam(page)) this.#writeRam(page, 0, new Uint8Array(PAGE_BYTES))
    }
    for (const range of state.hidden) this.#writeRam((range.gpa - AREA_BASE) / PAGE_BYTES, 0, range.bytes)
  }

  /** Frees the frames after the domain's end. */
  close(): void {
    for (const mfn of [...this.#frames, ...this.#ram]) this.#domain.frameCounts.drop(mfn, 1)
  }

  /** Whether reads of a page reach RAM. */
  #readsRam(page: number): boolean {
    return this.#settings[page]?.readRam === true || this.#isUnlocked(page)
  }

  #isUnlocked(page: number): boolean {
    const gpa = AREA_BASE + page * PAGE_BYTES
    return gpa >= this.#unlocked.first && gpa < this.#unlocked.end
  }

  #writeRam(page: number, offset: number, bytes: Uint8Array): void {
    this.#domain.memory.write(this.#ram[page]! * PAGE_BYTES + offset, bytes)
  }

  #map(gpa: number): void {
    const page = (gpa - AREA_BASE) / PAGE_BYTES
    const setting = this.#settings[page]
    if (setting === undefined) return
    const readRam = this.#readsRam(page)
    const writeRam = setting.writeRam || this.#isUnlocked(page)
    const mfn = (readRam ? this.#ram : this.#rom)[page]!
    this.#writesToRam[page] = writeRam && !readRam
    this.#domain.p2m.insert(gpa / PAGE_BYTES, mfn, 0, readRam && writeRam ? P2mType.RAM_RW : P2mType.RAM_RO)
  }

  #writeThrough(gpa: number, size: number, lo: number, hi: number): void {
    const page = Math.floor(gpa / PAGE_BYTES) - AREA_FIRST_GFN
    if (this.#writesToRam[page] !== true) return
    const bytes = new Uint8Array(size)
    for (let i = 0; i < size; i++) bytes[i] = i < 4 ? lo >>> (8 * i) : hi >>> (8 * (i - 4))
    this.#writeRam(page, gpa % PAGE_BYTES, bytes)
  }
}
