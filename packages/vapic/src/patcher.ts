/** The patcher: makes reported accesses to the task priority register into calls of the option ROM's helpers. */
import { AnnouncedRom, ROM_BLOCK } from './announced-rom.ts'
import { VapicError } from './errors.ts'
import type { VapicHost } from './host.ts'
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
import { type PatchedSite, PatchedSites } from './sites.ts'
import { type Handlers, RECORD_ENABLED, type RomStructure } from './structure.ts'

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

/** What has happened, for statistics. */
export interface VapicCounts {
  reports: number
  patched: number
  polls: number
  /** Reports and port writes that led to nothing. */
  refused: number
}

/** Bytes of a page. */
const PAGE = 4096
const MAX_VCPUS = 256

/**
 * Patches the guest of one domain.
 *
 * Whatever the guest supplies is read again each time it is used, and bounded to the ROM.
 */
export class VapicPatcher {
  state: VapicState
  readonly counts: VapicCounts
  readonly #host: VapicHost
  readonly #sites: PatchedSites
  #rom: AnnouncedRom | undefined
  #realTpr: number
  /** Guest-physical addresses of the records in use, by vCPU. */
  readonly #records: Map<number, number>
  /** The guest is to be moved off the patcher: nothing is patched any more. */
  #leaving: boolean
  #stopped: number

  constructor(host: VapicHost) {
    this.state = VapicState.INACTIVE
    this.counts = { reports: 0, patched: 0, polls: 0, refused: 0 }
    this.#host = host
    this.#sites = new PatchedSites(host)
    this.#rom = undefined
    this.#realTpr = 0
    this.#records = new Map()
    this.#leaving = false
    this.#stopped = 0
  }

  /** What has been patched, by address. */
  get sites(): readonly PatchedSite[] {
    return this.#sites.all
  }

  /** How often helpers have been called. Only our own ROM counts; undefined for another, and before one is active. */
  get helperCalls(): number | undefined {
    return this.#rom?.helperCalls()
  }

  /** Whether a vCPU's record is in use. */
  isEnabled(vcpu: number): boolean {
    return this.#records.has(vcpu)
  }

  /** Guest-physical address of a vCPU's record; undefined if it is not in use. */
  recordOf(vcpu: number): number | undefined {
    return this.#records.get(vcpu)
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
    this.#forget()
    this.#rom = undefined
    this.#realTpr = 0
  }

  /** No record is in use, and no site known. */
  #forget(): void {
    for (const vcpu of this.#records.keys()) this.#host.useRecord(vcpu, undefined)
    this.#records.clear()
    this.#sites.clear()
    this.#leaving = false
  }

  #whileStopped<T>(body: () => T): T {
    if (this.#stopped++ === 0) this.#host.stopAll()
    try {
      return body()
    } finally {
      if (--this.#stopped === 0) this.#host.resumeAll()
    }
  }

  #announce(vcpu: number, offset: number): void {
    const { eip } = this.#host.registers(vcpu)
    // The ROM runs where firmware has put it.
    const gpa = this.#host.translate(vcpu, (eip & ~(ROM_BLOCK - 1)) >>> 0)
    const rom = gpa === undefined ? undefined : AnnouncedRom.read(this.#host, gpa, offset)
    if (rom === undefined || !this.#arm(rom)) {
      this.counts.refused++
      return
    }
    this.#forget()
    this.#rom = rom
    this.#realTpr = 0
    this.state = VapicState.STANDBY
    this.#host.reportTprAccesses(true)
  }

  /** Makes a ROM writable and fit for this processor. @returns false, as it was, if it has no two poll sites */
  #arm(rom: AnnouncedRom): boolean {
    rom.mapWritable()
    if (this.#whileStopped(() => rom.rewritePolls())) return true
    this.#host.unmapRom()
    // One that announced itself before goes on.
    this.#rom?.mapWritable()
    return false
  }

  /**
   * An access to the task priority register has been made and completed.
   *
   * @returns whether its instruction has been patched
   */
  report(vcpu: number, report: TprReport): boolean {
    if (this.state === VapicState.INACTIVE) return false
    this.counts.reports++
    const patched = this.#whileStopped(() => this.#handle(vcpu, report))
    if (!patched) this.counts.refused++
    return patched
  }

  #handle(vcpu: number, report: TprReport): boolean {
    const site = this.#evaluate(vcpu, report)
    if (site === undefined || this.#leaving) {
      // The helpers of a vCPU whose record is not enabled access the real register: that enables it.
      if (this.state === VapicState.ACTIVE) this.#enable(vcpu)
      return false
    }
    const { found, address } = site
    this.#realTpr = found.address
    if (this.#rom?.locate(vcpu, address, found.address) !== true || !this.#enable(vcpu)) return false
    this.state = VapicState.ACTIVE
    const handler = this.#rom.handlerFor(found)
    if (handler === 0) return false
    const patch = patchFor(found, address, handler)
    const patched = this.#sites.patch(vcpu, { address, original: found.bytes, patch })
    if (patched) this.counts.patched++
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

  /** Enables a vCPU's record. @returns false if it is not a usable guest, or has more processors than records */
  #enable(vcpu: number): boolean {
    const number = kpcrNumber(this.#host, vcpu)
    if (number < 0 || number >= MAX_VCPUS || (this.#host.vcpuCount === 1 && number !== 0)) return false
    const record = this.#rom?.record(number)
    if (record === undefined) return false
    if (this.#records.get(vcpu) !== record) {
      // What the helpers find there is the priority as it is now.
      this.#host.useRecord(vcpu, record)
      this.#records.set(vcpu, record)
    }
    return this.#host.writePhysical(record + RECORD_ENABLED, Uint8Array.of(1))
  }

  /**
   * Puts every instruction back that still is what it was patched to, so that the guest can go where there is no patcher;
   * from now on none is patched. When all are, and no helper is being executed any more, the local APICs have the task
   * priorities again and the patcher is inactive. Until then let the guest run, and ask again.
   *
   * @param vcpu - through whose tables
   * @returns what is left: instructions whose pages are not mapped now, hold other bytes, or are about to be returned to,
   *   and calls of helpers that have not returned
   */
  unpatch(vcpu: number): number {
    const rom = this.#rom
    if (rom === undefined) return 0
    return this.#whileStopped(() => {
      this.#leaving = true
      const continuations = this.#continuations(rom)
      let left = this.#sites.unpatch(vcpu, continuations)
      for (const address of continuations) if (rom.holdsLinear(address)) left++
      if (left > 0) return left
      for (const record of this.#records.values()) this.#host.writePhysical(record + RECORD_ENABLED, Uint8Array.of(0))
      this.reset()
      return 0
    })
  }

  /**
   * Where vCPUs are in patches and helpers, or will return to. What looks like a return address in memory is taken for
   * one, but for what lies below a vCPU's stack pointer in the same page: that has been returned from.
   */
  #continuations(rom: AnnouncedRom): Set<number> {
    const { calls } = this.#sites
    const concerns = (address: number): boolean => calls.has(address) || rom.holdsLinear(address)
    const found = new Set<number>()
    const dead: { readonly first: number; readonly end: number }[] = []
    for (let id = 0; id < this.#host.vcpuCount; id++) {
      const { eip, esp } = this.#host.registers(id)
      if (concerns(eip)) found.add(eip)
      const top = this.#host.translate(id, esp)
      if (top !== undefined) dead.push({ first: top - (top % PAGE), end: top })
    }
    const first = Math.min(rom.linear, ...calls)
    const last = Math.max(rom.linear + rom.bytes, ...calls)
    for (const { gpa, value } of this.#host.findWords(first, last)) {
      if (!concerns(value) || rom.holds(gpa, 4)) continue
      if (!dead.some((range) => gpa >= range.first && gpa < range.end)) found.add(value)
    }
    return found
  }

  /** A byte is written: the OUT before each helper, and after hibernation. */
  #enableAgain(vcpu: number): void {
    const rom = this.#rom
    if (rom === undefined) return
    const { eip } = this.#host.registers(vcpu)
    const enabled = this.#whileStopped(() => {
      if (this.#realTpr === 0) this.#realTpr = this.#findRealTpr(vcpu)
      if (this.#realTpr === 0 || !rom.locate(vcpu, eip, this.#realTpr) || !this.#enable(vcpu)) return false
      this.state = VapicState.ACTIVE
      this.#dropOut(rom, vcpu, eip)
      return true
    })
    if (!enabled) this.counts.refused++
  }

  /** Where the guest maps the local APIC: after hibernation only its tables know. */
  #findRealTpr(vcpu: number): number {
    for (let page = 0xffff_f000; page >= 0x8000_0000; page -= PAGE) {
      if (this.#host.translate(vcpu, page) === 0xfee0_0000) return page + 0x80
    }
    return 0
  }

  /** The OUT has done its work: it becomes a NOP of the same length. */
  #dropOut(rom: AnnouncedRom, vcpu: number, site: number): void {
    const gpa = this.#host.translate(vcpu, site)
    if (gpa === undefined || !rom.holds(gpa, 2)) return
    this.#sites.replace(vcpu, site, Uint8Array.of(0xe6, 0x7e), Uint8Array.of(0x66, 0x90))
  }

  /** The state as the migration stream has it. */
  save(): SavedVapic {
    const rom = this.#rom
    return {
      version: 1,
      rom_state: saveStructure(rom?.structure ?? NO_STRUCTURE),
      state: this.state,
      real_tpr_addr: this.#realTpr,
      rom_state_vaddr: rom?.structureLinear ?? 0,
      vapic_paddr: rom?.areaGpa ?? 0,
      rom_state_paddr: rom?.structureGpa ?? 0,
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
    const gpa = saved.rom_state_paddr - (saved.rom_state_paddr % ROM_BLOCK)
    const rom = AnnouncedRom.read(this.#host, gpa, saved.rom_state_paddr - gpa)
    if (rom === undefined || !this.#arm(rom)) return
    const structure = restoreStructure(saved.rom_state)
    if (state === VapicState.ACTIVE && !rom.holds(saved.vapic_paddr, structure.areaBytes)) {
      this.#host.unmapRom()
      return
    }
    rom.structure = structure
    rom.structureLinear = saved.rom_state_vaddr
    rom.areaGpa = saved.vapic_paddr
    this.#rom = rom
    this.#realTpr = saved.real_tpr_addr
    this.state = state
    this.#host.reportTprAccesses(true)
    if (state !== VapicState.ACTIVE) return
    // One processor is enabled again at once; of several each enables itself.
    if (this.#host.vcpuCount === 1) this.#enable(0)
    else this.#host.writePhysical(rom.areaGpa, new Uint8Array(structure.areaBytes))
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
