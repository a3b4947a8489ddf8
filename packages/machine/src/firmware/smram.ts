import { PAGE_BYTES } from '@retrap/memory'
import type { SmramSettings } from '@retrap/devices'
import type { SystemManagementMemory, X86Domain } from '@retrap/hvm'
import { P2mEntry, P2mType } from '@retrap/p2m'
import { MachineError } from '../errors.ts'
import { SMRAM_BYTES } from '../machine-type.ts'

const LOW_BASE = 0xa_0000
const HIGH_BASE = 0xfeda_0000
const LOW_PAGES = SMRAM_BYTES / PAGE_BYTES

/** A page of SMRAM that is not all zeros. */
export interface SmramPage {
  /** Number of the page within its part, from 0. */
  readonly page: number
  /** 4 KiB. */
  readonly bytes: Uint8Array
}

/** The saved form of a PC's SMRAM. Pages of zeros are left out. */
export interface SmramState {
  /** Version of this form. */
  readonly version: 1
  /** The RAM behind the VGA window. */
  readonly low: readonly SmramPage[]
  /** TSEG, the top of low memory, which only system-management mode can access. */
  readonly tseg: readonly SmramPage[]
  /** Size. */
  readonly tsegBytes: number
}

/**
 * SMRAM of a PC: 128 KiB of RAM behind the VGA window, and with a Q35 the top of low memory (TSEG). The chipset's
 * registers say which of it is seen by processors in system-management mode alone, and which by everybody. A machine without
 * system-management mode does not load this.
 */
export class Smram implements SystemManagementMemory {
  readonly #domain: X86Domain
  /** End of RAM below 4 GiB, where TSEG ends. */
  readonly #lowRamEnd: number
  /** Frames of the RAM behind the VGA window. */
  readonly #low: readonly number[]
  #settings: SmramSettings = { low: false, high: false, open: false, openHigh: false, tsegBytes: 0 }
  /** Pages through which SMRAM is open to all code: of the window, then above 1 MiB. */
  readonly #opened: readonly Set<number>[] = [new Set(), new Set()]
  /** Frames of TSEG, visible only in system-management mode. */
  #tseg: readonly number[] = []

  constructor(domain: X86Domain, lowRamEnd: number) {
    this.#domain = domain
    this.#lowRamEnd = lowRamEnd
    this.#low = Array.from({ length: LOW_PAGES }, () => {
      const mfn = domain.memory.frames.allocate(0)
      domain.frameCounts.adopt(mfn, 1)
      domain.memory.write(mfn * PAGE_BYTES, new Uint8Array(PAGE_BYTES))
      return mfn
    })
    domain.systemManagementMemory = this
  }

  /** Asserts SMI# of the processor that writes to the chipset, or of all. */
  smi(broadcast: boolean): void {
    const { vcpus, executingVcpu } = this.#domain
    for (const vcpu of vcpus) if (broadcast || vcpu.id === executingVcpu) vcpu.smi()
  }

  /** Follows the chipset's registers. */
  apply(settings: SmramSettings): void {
    this.#settings = settings
    this.#show(settings.open, LOW_BASE, this.#opened[0]!)
    this.#show(settings.openHigh, HIGH_BASE, this.#opened[1]!)
    this.#hide(settings.tsegBytes)
    // All processors drop their cached translations.
    this.#domain.systemManagementMemory = this
  }

  /** Machine address of a page that only a processor in system-management mode sees; −1: no such page. */
  machineAddress(gpa: number): number {
    const { low, high } = this.#settings
    const window = gpa - (high ? HIGH_BASE : LOW_BASE)
    if ((low || high) && window >= 0 && window < SMRAM_BYTES) return this.#at(this.#low, window)
    const inTseg = gpa - this.#lowRamEnd + this.#tseg.length * PAGE_BYTES
    return inTseg >= 0 && gpa < this.#lowRamEnd ? this.#at(this.#tseg, inTseg) : -1
  }

  /** Saves the memory that the map of guest memory does not show; the chipset saves the settings. */
  save(): SmramState {
    const pages = this.#tseg.length
    return {
      version: 1,
      low: this.#contents(this.#low),
      tseg: this.#contents(this.#tseg),
      tsegBytes: pages * PAGE_BYTES,
    }
  }

  /** Takes saved contents, after the chipset has given its settings. @throws MachineError `ERR_STATE` */
  restore(state: SmramState): void {
    if (state.version !== 1 || state.tsegBytes !== this.#tseg.length * PAGE_BYTES) {
      const what = `version ${String(state.version)} with ${String(state.tsegBytes)} bytes of TSEG`
      throw new MachineError('ERR_STATE', `SMRAM of ${what}: expected version 1 with ${this.#tseg.length * PAGE_BYTES}`)
    }
    this.#fill(this.#low, state.low)
    this.#fill(this.#tseg, state.tseg)
  }

  /** Frees the frames after the domain's end. */
  close(): void {
    for (const mfn of [...this.#low, ...this.#tseg]) this.#domain.frameCounts.drop(mfn, 1)
  }

  #contents(frames: readonly number[]): SmramPage[] {
    return frames.flatMap((mfn, page) => {
      const bytes = this.#domain.memory.read(mfn * PAGE_BYTES, PAGE_BYTES)
      return bytes.some((byte) => byte !== 0) ? [{ page, bytes }] : []
    })
  }

  #fill(frames: readonly number[], contents: readonly SmramPage[]): void {
    const { memory } = this.#domain
    for (const mfn of frames) memory.fill(mfn * PAGE_BYTES, PAGE_BYTES, 0)
    for (const { page, bytes } of contents) {
      const mfn = frames[page]
      if (mfn === undefined || bytes.length !== PAGE_BYTES)
        throw new MachineError(
          'ERR_STATE',
          `page ${page} of SMRAM with ${bytes.length} bytes: expected ${PAGE_BYTES}, below ${frames.length}`,
        )
      memory.write(mfn * PAGE_BYTES, bytes)
    }
  }

  #at(frames: readonly number[], offset: number): number {
    return frames[Math.floor(offset / PAGE_BYTES)]! * PAGE_BYTES + (offset % PAGE_BYTES)
  }

  /** If `open`, maps the window's RAM for all code, but in pages that the graphics card has mapped; else unmaps it. */
  #show(open: boolean, base: number, opened: Set<number>): void {
    const { p2m } = this.#domain
    const first = base / PAGE_BYTES
    if (open) {
      for (const [page, mfn] of this.#low.entries()) {
        if (p2m.translate(base + page * PAGE_BYTES) >= 0) continue
        p2m.insert(first + page, mfn, 0, P2mType.RAM_RW)
        opened.add(page)
      }
      return
    }
    for (const page of opened) {
      const mfn = this.#low[page]!
      const mapped = p2m.translate(base + page * PAGE_BYTES) === mfn * PAGE_BYTES
      if (mapped) p2m.remove(first + page, mfn)
    }
    opened.clear()
  }

  /** Hides the last bytes of low memory from all accesses outside SMM, or shows them again. */
  #hide(bytes: number): void {
    const pages = bytes / PAGE_BYTES
    if (this.#tseg.length === pages) return
    const { p2m, frameCounts } = this.#domain
    const end = this.#lowRamEnd / PAGE_BYTES
    for (const [page, mfn] of this.#tseg.entries()) {
      p2m.insert(end - this.#tseg.length + page, mfn, 0, P2mType.RAM_RW)
      frameCounts.drop(mfn, 1)
    }
    const entry = new P2mEntry()
    const frames: number[] = []
    for (let gfn = end - pages; gfn < end; gfn++) {
      let type = p2m.lookup(gfn, entry)
      if (type === P2mType.RAM_SHARED) {
        p2m.unshare(gfn)
        type = p2m.lookup(gfn, entry)
      }
      // While the machine is saved, RAM may have the type of RAM whose writes are logged.
      if (type !== P2mType.RAM_RW && type !== P2mType.RAM_LOGDIRTY) break
      frames.push(entry.mfn)
    }
    // TSEG cannot be in memory that the guest has given up.
    this.#tseg = frames.length === pages ? frames : []
    for (const [page, mfn] of this.#tseg.entries()) {
      frameCounts.tryTake(mfn, 1)
      p2m.remove(end - pages + page, mfn)
    }
  }
}
