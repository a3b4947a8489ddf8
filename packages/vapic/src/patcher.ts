/** The patcher: makes reported accesses to the task priority register into calls of the option ROM's helpers. */
import { VapicError } from './errors.ts'
import type { PollMethod, VapicHost } from './host.ts'
import {
  findBackward,
  findInstruction,
  type FoundInstruction,
  MAX_TPR_INSTRUCTION,
  patchFor,
  type TprAccess,
} from './instructions.ts'
import { kpcrNumber } from './kpcr.ts'
import { restoreStructure, type SavedVapic, saveStructure } from './saved.ts'
import {
  FIELD_REAL_TPR,
  FIELD_SELF,
  FIELD_SHIFT,
  fixupOffsets,
  type Handlers,
  readStructure,
  RECORD_BYTES,
  RECORD_SHIFT,
  type RomStructure,
  STRUCTURE_BYTES,
  within,
} from './structure.ts'

/** How far patching has come. Numbers are those of the migration stream. */
export const VapicState = {
  /** No option ROM has announced itself. */
  INACTIVE: 0,
  /** Instructions are patched, and helpers use the records. */
  ACTIVE: 1,
  /** Announced: accesses are reported, none has been patched. */
  STANDBY: 2,
} as const

/** One of the `VapicState` numbers. */
export type VapicState = (typeof VapicState)[keyof typeof VapicState]

/** A report of an access to the task priority register. */
export interface TprReport {
  readonly access: TprAccess
  /** Guest-physical address that was accessed. */
  readonly gpa: number
  /** The registers' EIP is behind the instruction, not at it. */
  readonly behind?: boolean
}

/** An instruction that has been patched. */
export interface PatchedSite {
  /** Linear address. */
  readonly address: number
  readonly original: Uint8Array
  readonly patch: Uint8Array
}

/** What has happened, for statistics. */
export interface VapicCounts {
  reports: number
  patched: number
  polls: number
  /** Reports that led to nothing, by reason. */
  refused: number
}

const BLOCK = 512
/** Bytes of a page. */
const PAGE = 4096
const MAX_VCPUS = 256
/** MOV EAX, 1 and the three ways to poll. */
const POLL_PREFIX = [0xb8, 1, 0, 0, 0]
const POLLS: Readonly<Record<PollMethod, readonly number[]>> = {
  vmcall: [0x0f, 0x01, 0xc1],
  vmmcall: [0x0f, 0x01, 0xd9],
  // NOP; OUT 7Eh, EAX
  port: [0x90, 0xe7, 0x7e],
}
/** A ROM has two poll sites: one for one processor, one for several. */
const POLL_SITES = 2

/**
 * Patches the guest of one domain.
 *
 * Whatever the guest supplies is read again each time it is used, and bounded to the ROM.
 */
export class VapicPatcher {
  state: VapicState
  readonly counts: VapicCounts
  readonly #host: VapicHost
  readonly #sites: Map<number, PatchedSite>
  /** Physical address of the ROM, of its structure in it, and its bytes; 0: no ROM. */
  #romGpa: number
  #romBytes: number
  #structureGpa: number
  /** The structure as it was read last. */
  #structure: RomStructure | undefined
  /** Linear address of the structure; 0: not known. */
  #structureLinear: number
  #areaGpa: number
  #realTpr: number
  readonly #enabled: Set<number>

  constructor(host: VapicHost) {
    this.state = VapicState.INACTIVE
    this.counts = { reports: 0, patched: 0, polls: 0, refused: 0 }
    this.#host = host
    this.#sites = new Map()
    this.#romGpa = 0
    this.#romBytes = 0
    this.#structureGpa = 0
    this.#structure = undefined
    this.#structureLinear = 0
    this.#areaGpa = 0
    this.#realTpr = 0
    this.#enabled = new Set()
  }

  /** What has been patched, by address. */
  get sites(): readonly PatchedSite[] {
    return [...this.#sites.values()]
  }

  /** Whether a vCPU's record is in use. */
  isEnabled(vcpu: number): boolean {
    return this.#enabled.has(vcpu)
  }

  /**
   * A write to port 7Eh.
   *
   * @param size - 2: a ROM announces itself, `value` is the structure's offset in it; 1: a helper, or firmware after
   *   hibernation, asks to be enabled again; 4: a helper polls
   */
  portWrite(vcpu: number, size: number, value: number): void {
    if (size === 2) this.#announce(vcpu, value & 0xffff)
    else if (size === 1) this.#enableAgain(vcpu)
    else if (size === 4) this.poll(vcpu)
  }

  /** A helper polls, by port or hypercall. */
  poll(vcpu: number): void {
    this.counts.polls++
    this.#host.pollInterrupts(vcpu)
  }

  /** Machine reset: nothing is patched, nothing is known. Guest memory is not touched. */
  reset(): void {
    if (this.state !== VapicState.INACTIVE) {
      this.#host.reportTprAccesses(false)
      this.#host.unmapRom()
    }
    this.state = VapicState.INACTIVE
    this.#sites.clear()
    this.#enabled.clear()
    this.#romGpa = 0
    this.#romBytes = 0
    this.#structureGpa = 0
    this.#structure = undefined
    this.#structureLinear = 0
    this.#areaGpa = 0
    this.#realTpr = 0
  }

  #announce(vcpu: number, offset: number): void {
    const { eip } = this.#host.registers(vcpu)
    // The ROM runs where firmware has put it, at a multiple of 512.
    const rom = (eip & ~(BLOCK - 1)) >>> 0
    const gpa = this.#host.translate(vcpu, rom)
    if (gpa === undefined || !this.#readRom(gpa, offset)) {
      this.counts.refused++
      return
    }
    this.#host.mapRomWritable(pageStart(gpa), pageEnd(gpa + this.#romBytes) - pageStart(gpa))
    if (!this.#rewritePolls()) {
      this.#host.unmapRom()
      this.counts.refused++
      return
    }
    this.#sites.clear()
    this.#enabled.clear()
    this.#structureLinear = 0
    this.state = VapicState.STANDBY
    this.#host.reportTprAccesses(true)
  }

  /** Takes a ROM whose structure is within it. */
  #readRom(gpa: number, offset: number): boolean {
    const header = new Uint8Array(3)
    if (!this.#host.readPhysical(gpa, header)) return false
    const [first, second, blocks = 0] = header
    const bytes = blocks * BLOCK
    if (first !== 0x55 || second !== 0xaa || !within({ start: 0, end: bytes }, offset, STRUCTURE_BYTES)) return false
    const rom = new Uint8Array(bytes)
    if (!this.#host.readPhysical(gpa, rom)) return false
    const structure = readStructure(rom.subarray(offset))
    if (structure === undefined) return false
    this.#romGpa = gpa
    this.#romBytes = bytes
    this.#structureGpa = gpa + offset
    this.#structure = structure
    return true
  }

  /** The ROM as it is now. */
  #rom(): Uint8Array | undefined {
    const rom = new Uint8Array(this.#romBytes)
    return this.#host.readPhysical(this.#romGpa, rom) ? rom : undefined
  }

  /** Rewrites the poll sites for this processor: none or both. */
  #rewritePolls(): boolean {
    const rom = this.#rom()
    if (rom === undefined) return false
    const wanted = POLLS[this.#host.pollMethod]
    const sites: number[] = []
    for (let at = 0; at + 8 <= rom.length; at++) {
      if (!POLL_PREFIX.every((byte, index) => rom[at + index] === byte)) continue
      const tail = rom.subarray(at + 5, at + 8)
      const known = Object.values(POLLS).some((poll) => poll.every((byte, index) => tail[index] === byte))
      if (known && wanted.some((byte, index) => tail[index] !== byte)) sites.push(at + 5)
    }
    if (sites.length !== 0 && sites.length !== POLL_SITES) return false
    for (const at of sites) {
      this.#host.writePhysical(this.#romGpa + at, Uint8Array.from(wanted))
      this.#host.dropCode(this.#romGpa + at, wanted.length)
    }
    return true
  }

  /**
   * An access to the task priority register has been made and completed.
   *
   * @returns whether its instruction has been patched
   */
  report(vcpu: number, report: TprReport): boolean {
    if (this.state === VapicState.INACTIVE) return false
    this.counts.reports++
    const site = this.#evaluate(vcpu, report)
    if (site === undefined) {
      // The helpers of a vCPU whose record is not enabled access the real register: that enables it.
      if (this.state === VapicState.ACTIVE) this.#enable(vcpu)
      this.counts.refused++
      return false
    }
    this.#realTpr = site.found.address
    if (!this.#prepare(vcpu, site.address) || !this.#enable(vcpu)) {
      this.counts.refused++
      return false
    }
    this.state = VapicState.ACTIVE
    const patched = this.#patch(vcpu, site)
    if (!patched) this.counts.refused++
    return patched
  }

  /** The instruction that a report is about, if it is one of the table. */
  #evaluate(vcpu: number, report: TprReport): { found: FoundInstruction; address: number } | undefined {
    const { eip, esp } = this.#host.registers(vcpu)
    const nibble = eip >>> 28
    // The kernel and the HAL of the guests that this is for; and one that pushes with ESP 0 would fault twice.
    if ((nibble !== 8 && nibble !== 0xe) || esp === 0) return undefined
    if (report.behind === true) return this.#lookBackward(vcpu, eip, report)
    const bytes = this.#codeAt(vcpu, eip)
    const found = bytes === undefined ? undefined : findInstruction(bytes)
    if (found === undefined || found.row.access !== report.access) return undefined
    return this.#accesses(vcpu, found, report) ? { found, address: eip } : undefined
  }

  /** As many bytes as are mapped, up to the longest instruction. */
  #codeAt(vcpu: number, address: number): Uint8Array | undefined {
    const bytes = new Uint8Array(MAX_TPR_INSTRUCTION)
    if (this.#host.readLinear(vcpu, address, bytes)) return bytes
    const toPageEnd = bytes.subarray(0, Math.min(bytes.length, PAGE - (address & (PAGE - 1))))
    return this.#host.readLinear(vcpu, address, toPageEnd) ? toPageEnd : undefined
  }

  #lookBackward(
    vcpu: number,
    next: number,
    report: TprReport,
  ): { found: FoundInstruction; address: number } | undefined {
    for (let length = MAX_TPR_INSTRUCTION; length >= 5; length--) {
      const bytes = new Uint8Array(length)
      if (!this.#host.readLinear(vcpu, (next - length) >>> 0, bytes)) continue
      const found = findBackward(bytes, report.access).find(
        (each) => each.row.length === length && this.#accesses(vcpu, each, report),
      )
      if (found !== undefined) return { found, address: (next - length) >>> 0 }
    }
    return undefined
  }

  /** Whether an instruction's address is the one that was accessed. */
  #accesses(vcpu: number, found: FoundInstruction, report: TprReport): boolean {
    return this.#host.translate(vcpu, found.address) === report.gpa
  }

  /** Finds the ROM in the guest's linear addresses and fixes those in it. */
  #prepare(vcpu: number, near: number): boolean {
    const linear = (this.#structureGpa + (near & 0xf000_0000)) >>> 0
    if (this.#host.translate(vcpu, linear) !== this.#structureGpa) return false
    const rom = this.#rom()
    if (rom === undefined) return false
    const at = this.#structureGpa - this.#romGpa
    const structure = readStructure(rom.subarray(at))
    if (structure === undefined) return false
    // What the addresses are relative to: that of the ROM's first byte.
    const base = (structure.self - at) >>> 0
    const offsets = fixupOffsets(rom, at, base)
    if (offsets === undefined) return false
    const move = (linear - structure.self) >>> 0
    const view = new DataView(rom.buffer)
    if (move !== 0) {
      for (const offset of offsets) view.setUint32(offset, (view.getUint32(offset, true) + move) >>> 0, true)
    }
    view.setUint32(at + FIELD_SHIFT, RECORD_SHIFT, true)
    view.setUint32(at + FIELD_REAL_TPR, this.#realTpr, true)
    const fixed = readStructure(rom.subarray(at))
    if (fixed === undefined || !this.#areaFits(fixed, linear - at, rom.length)) return false
    if (view.getUint32(at + FIELD_SELF, true) !== linear) return false
    this.#writeRom(rom, fixed, linear - at)
    this.#structure = fixed
    this.#structureLinear = linear
    this.#areaGpa = this.#romGpa + ((fixed.area - (linear - at)) >>> 0)
    return true
  }

  #areaFits(structure: RomStructure, romLinear: number, romBytes: number): boolean {
    const start = (structure.area - romLinear) >>> 0
    return within({ start: 0, end: romBytes }, start, structure.areaBytes)
  }

  /** Writes the ROM back, but for its records, which vCPUs are using. */
  #writeRom(rom: Uint8Array, structure: RomStructure, romLinear: number): void {
    const area = (structure.area - romLinear) >>> 0
    this.#host.writePhysical(this.#romGpa, rom.subarray(0, area))
    this.#host.writePhysical(this.#romGpa + area + structure.areaBytes, rom.subarray(area + structure.areaBytes))
    this.#host.dropCode(this.#romGpa, rom.length)
  }

  /** Enables a vCPU's record. @returns false if it is not a usable guest, or has more processors than records */
  #enable(vcpu: number): boolean {
    if (this.#structure === undefined || this.#structureLinear === 0) return false
    const number = kpcrNumber(this.#host, vcpu)
    if (number < 0 || (this.#host.vcpuCount === 1 && number !== 0)) return false
    const offset = number << RECORD_SHIFT
    if (number >= MAX_VCPUS || offset + RECORD_BYTES > this.#structure.areaBytes) return false
    this.#enabled.add(vcpu)
    return this.#host.writePhysical(this.#areaGpa + offset + 4, Uint8Array.of(1))
  }

  /** Guest-physical address of a vCPU's record; undefined if it is not enabled. */
  recordOf(vcpu: number): number | undefined {
    if (!this.#enabled.has(vcpu)) return undefined
    const number = kpcrNumber(this.#host, vcpu)
    if (number < 0 || this.#structure === undefined) return undefined
    const offset = number << RECORD_SHIFT
    return offset + RECORD_BYTES > this.#structure.areaBytes ? undefined : this.#areaGpa + offset
  }

  /** The helper for an instruction; 0: there is none that works. */
  #handlerFor(found: FoundInstruction): number {
    if (this.#structure === undefined) return 0
    const handlers: Handlers = this.#host.vcpuCount === 1 ? this.#structure.up : this.#structure.mp
    const { handler } = found.row
    const address = handler === 'get' ? (handlers.get[found.register] ?? 0) : handlers[handler]
    const at = (address - (this.#structureLinear - (this.#structureGpa - this.#romGpa))) >>> 0
    // ESP has no helper, and a helper outside the ROM is none.
    if (address === 0 || !within({ start: 0, end: this.#romBytes }, at, 1)) return 0
    return this.#callsItself(at) ? 0 : address
  }

  /** The stock ROM's helper for EDI and several processors never returns: it calls itself. */
  #callsItself(at: number): boolean {
    const code = new Uint8Array(Math.min(16, this.#romBytes - at))
    if (!this.#host.readPhysical(this.#romGpa + at, code)) return true
    const view = new DataView(code.buffer)
    for (let i = 0; i + 5 <= code.length && code[i] !== 0xc3; i++) {
      if (code[i] === 0xe8 && view.getInt32(i + 1, true) === -(i + 5)) return true
    }
    return false
  }

  /** Replaces an instruction, with all vCPUs stopped, if its bytes are still the same. */
  #patch(vcpu: number, { found, address }: { found: FoundInstruction; address: number }): boolean {
    const handler = this.#handlerFor(found)
    if (handler === 0) return false
    const patch = patchFor(found, address, handler)
    const replaced = this.#replace(vcpu, address, found.bytes, patch)
    if (replaced) {
      this.#sites.set(address, { address, original: found.bytes, patch })
      this.counts.patched++
    }
    return replaced
  }

  #replace(vcpu: number, address: number, expected: Uint8Array, bytes: Uint8Array): boolean {
    const host = this.#host
    host.stopAll()
    try {
      const now = new Uint8Array(expected.length)
      if (!host.readLinear(vcpu, address, now) || now.some((byte, index) => byte !== expected[index])) return false
      if (!host.writeLinear(vcpu, address, bytes)) return false
      this.#dropCode(vcpu, address, bytes.length)
      return true
    } finally {
      host.resumeAll()
    }
  }

  /** Drops code on both pages where an instruction crosses. */
  #dropCode(vcpu: number, address: number, bytes: number): void {
    for (let at = address; at < address + bytes;) {
      const length = Math.min(address + bytes - at, PAGE - (at & (PAGE - 1)))
      const gpa = this.#host.translate(vcpu, at >>> 0)
      if (gpa !== undefined) this.#host.dropCode(gpa, length)
      at += length
    }
  }

  /**
   * Puts every instruction back that still is what it was patched to, so that the guest can go where there is no patcher.
   *
   * @param vcpu - through whose tables
   * @returns how many could not be put back: their pages are not mapped now, or hold other bytes
   */
  unpatch(vcpu: number): number {
    let left = 0
    for (const { address, original, patch } of this.#sites.values()) {
      if (this.#replace(vcpu, address, patch, original)) this.#sites.delete(address)
      else left++
    }
    return left
  }

  /** A byte is written: the OUT before each helper, and after hibernation. */
  #enableAgain(vcpu: number): void {
    if (this.state === VapicState.INACTIVE) return
    const { eip } = this.#host.registers(vcpu)
    if (this.#realTpr === 0) this.#realTpr = this.#findRealTpr(vcpu)
    if (this.#realTpr === 0 || !this.#prepare(vcpu, eip) || !this.#enable(vcpu)) {
      this.counts.refused++
      return
    }
    this.state = VapicState.ACTIVE
    this.#dropOut(vcpu, eip)
  }

  /** Where the guest maps the local APIC: after hibernation only its tables know. */
  #findRealTpr(vcpu: number): number {
    for (let page = 0xffff_f000; page >= 0x8000_0000; page -= PAGE) {
      if (this.#host.translate(vcpu, page) === 0xfee0_0000) return page + 0x80
    }
    return 0
  }

  /** The OUT has done its work: it becomes a NOP of the same length. */
  #dropOut(vcpu: number, site: number): void {
    const gpa = this.#host.translate(vcpu, site)
    if (gpa === undefined || !within({ start: this.#romGpa, end: this.#romGpa + this.#romBytes }, gpa, 2)) return
    this.#replace(vcpu, site, Uint8Array.of(0xe6, 0x7e), Uint8Array.of(0x66, 0x90))
  }

  /** The state as the migration stream has it. */
  save(): SavedVapic {
    return {
      version: 1,
      rom_state: saveStructure(this.#structure ?? NO_STRUCTURE),
      state: this.state,
      real_tpr_addr: this.#realTpr,
      rom_state_vaddr: this.#structureLinear,
      vapic_paddr: this.#areaGpa,
      rom_state_paddr: this.#structureGpa,
    }
  }

  /**
   * Takes a stream over, after the guest's memory and registers have come.
   *
   * Anything but inactive arms again: the ROM is mapped writable, poll sites are rewritten for this processor, accesses are
   * reported. What does not fit disarms.
   *
   * @throws VapicError `ERR_SAVED` for another version or a state that there is not
   */
  restore(saved: SavedVapic): void {
    if (saved.version !== 1) throw new VapicError('ERR_SAVED', `version ${String(saved.version)}; this is version 1`)
    if (![0, 1, 2].includes(saved.state))
      throw new VapicError('ERR_SAVED', `state ${saved.state}; there are 0, 1 and 2`)
    this.reset()
    // Streams from before STANDBY was one.
    const state =
      saved.state === VapicState.INACTIVE && saved.rom_state_paddr !== 0
        ? VapicState.STANDBY
        : (saved.state as VapicState)
    if (state === VapicState.INACTIVE) return
    const gpa = saved.rom_state_paddr - (saved.rom_state_paddr % BLOCK)
    if (!this.#readRom(gpa, saved.rom_state_paddr - gpa)) return
    this.#host.mapRomWritable(pageStart(gpa), pageEnd(gpa + this.#romBytes) - pageStart(gpa))
    if (!this.#rewritePolls()) {
      this.reset()
      this.#host.unmapRom()
      return
    }
    this.#structure = restoreStructure(saved.rom_state)
    this.#realTpr = saved.real_tpr_addr
    this.#structureLinear = saved.rom_state_vaddr
    this.state = state
    this.#host.reportTprAccesses(true)
    if (state === VapicState.ACTIVE) this.#rearm(saved)
  }

  /** One processor is enabled again at once; of several each enables itself. */
  #rearm(saved: SavedVapic): void {
    const area = saved.vapic_paddr
    const structure = this.#structure as RomStructure
    if (!within({ start: this.#romGpa, end: this.#romGpa + this.#romBytes }, area, structure.areaBytes)) {
      this.reset()
      return
    }
    this.#areaGpa = area
    if (this.#host.vcpuCount === 1) this.#enable(0)
    else this.#host.writePhysical(area, new Uint8Array(structure.areaBytes))
  }
}

const NO_HANDLERS: Handlers = { set: 0, setEax: 0, get: [0, 0, 0, 0, 0, 0, 0, 0], getStack: 0 }
const NO_STRUCTURE: RomStructure = {
  self: 0,
  fixupStart: 0,
  fixupEnd: 0,
  area: 0,
  areaBytes: 0,
  shift: 0,
  realTpr: 0,
  up: NO_HANDLERS,
  mp: NO_HANDLERS,
}

const pageStart = (gpa: number): number => gpa - (gpa % PAGE)
const pageEnd = (gpa: number): number => pageStart(gpa + PAGE - 1)
