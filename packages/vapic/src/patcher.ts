import { PAGE_BYTES } from '@retrap/memory'
import { checkHost } from './arguments.ts'
import { AnnouncedRom, ROM_BLOCK } from './announced-rom.ts'
import { matches, RECORD_ENABLED, word } from './structure.ts'
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
import { checkSaved, noStructure, type SavedVapic, saveStructure } from './saved.ts'
import { type PatchedSite, PatchedSites } from './sites.ts'
import { UnpatchedCode } from './unpatched-code.ts'

// The processor control region of 32-bit Windows, which FS points at in the kernel. Source: the kvmvapic option ROM's
// interface; Windows' KPCR.
const KPCR_SELF = 0x1c
/** Offset of the processor's number. */
export const KPCR_NUMBER = 0x51

/** Returns the processor's number from its KPCR; -1 if FS does not point to a KPCR, which must contain its own address. */
function kpcrNumber(host: VapicHost, vcpu: number): number {
  const { fsBase } = host.registers(vcpu)
  const bytes = new Uint8Array(KPCR_NUMBER + 1)
  if (!host.readLinear(vcpu, fsBase, bytes)) return -1
  return word(bytes, KPCR_SELF) === fsBase >>> 0 ? bytes[KPCR_NUMBER]! : -1
}

/** Numbers the stages of patching, as in the migration stream. */
export const VapicState = {
  /** No option ROM has announced itself yet. */
  INACTIVE: 0,
  /** Instructions are patched, and helpers use the records. */
  ACTIVE: 1,
  /** A ROM is announced: accesses are reported, none has been patched. */
  STANDBY: 2,
} as const
/** A value of `VapicState`. */
export type VapicState = (typeof VapicState)[keyof typeof VapicState]

/** Reports an access to the task priority register. */
export interface TprReport {
  /** Direction of the access. */
  readonly access: TprAccess
  /** Guest-physical address of the access. */
  readonly gpa: number
  /** The registers' EIP is behind the instruction, not at it. Default false. */
  readonly behind?: boolean
}

/** Counts events, for statistics. */
export interface VapicCounts {
  /** Number of reported accesses. */
  reports: number
  /** Number of patched instructions. */
  patched: number
  /** Polls of helpers. */
  polls: number
  /** Reports and port writes without an effect. */
  refused: number
}

/** Guest-physical address of the local APIC's page after reset. */
const APIC_PAGE = 0xfee0_0000
const TPR_OFFSET = 0x80
/** Linear pages in which a kernel of this kind may map the local APIC. */
const FIRST_KERNEL_PAGE = 0x8_0000
const LAST_KERNEL_PAGE = 0xf_ffff

/** OUT 7Eh, AL, by which a helper asks to be enabled again, and the no-operation of its length. */
const OUT_PORT_AL = [0xe6, 0x7e] as const
const TWO_BYTE_NOP = [0x66, 0x90] as const

/** A site that a report leads to. */
interface Site {
  readonly at: number
  readonly found: FoundInstruction
}

/**
 * Patches the guest of one domain.
 *
 * Guest memory is read again each time it is used, and bounded to the ROM.
 */
export class VapicPatcher {
  /** Stage of patching. */
  state: VapicState = VapicState.INACTIVE
  /** Counts of events. */
  readonly counts: VapicCounts = { reports: 0, patched: 0, polls: 0, refused: 0 }
  readonly #host: VapicHost
  #sites: PatchedSites
  /** Guest-physical address of the record of each vCPU that uses one. */
  readonly #records = new Map<number, number>()
  #rom: AnnouncedRom | undefined
  /** Linear address of the task priority register, as an instruction had it. */
  #realTpr = 0
  /** `unpatch` has begun: nothing more is patched. */
  #leaving = false

  /**
   * @param host - the hypervisor around the patcher
   * @throws VapicError `ERR_OPTION` for a host without one of the methods
   */
  constructor(host: VapicHost) {
    checkHost(host)
    this.#host = host
    this.#sites = new PatchedSites(host)
  }

  /** Lists the patched instructions. */
  get sites(): readonly PatchedSite[] {
    return this.#sites.all
  }

  /** Counts the helpers' calls. Only our own ROM counts; undefined for another, and before a ROM is announced. */
  get helperCalls(): number | undefined {
    return this.#rom?.helperCalls()
  }

  /** Whether a vCPU's record is in use. */
  isEnabled(vcpu: number): boolean {
    return this.#records.has(vcpu)
  }

  /** Returns the guest-physical address of a vCPU's record; undefined if it is not in use. */
  recordOf(vcpu: number): number | undefined {
    return this.#records.get(vcpu)
  }

  // ---- requests of the guest ----

  /**
   * Handles a write to port 7Eh.
   *
   * @param size - 2: a ROM announces itself, `value` is the structure's offset in it; 1: a helper asks to be enabled again
   *   after hibernation; 4: a helper polls
   */
  portWrite(vcpu: number, size: number, value: number): void {
    let done = true
    if (size === 2) done = this.#announce(vcpu, value)
    else if (size === 1) done = this.#reactivate(vcpu)
    else if (size === 4) this.poll(vcpu)
    else done = false
    if (!done) this.counts.refused++
  }

  /** Handles a helper's poll, by port or hypercall. */
  poll(vcpu: number): void {
    this.counts.polls++
    this.#host.pollInterrupts(vcpu)
  }

  #announce(vcpu: number, offset: number): boolean {
    const { eip } = this.#host.registers(vcpu)
    const rom = AnnouncedRom.read(this.#host, eip - (eip % ROM_BLOCK), offset & 0xffff)
    if (rom === undefined) return false
    this.#disarm()
    return this.#arm(rom, VapicState.STANDBY)
  }

  #reactivate(vcpu: number): boolean {
    if (this.#rom === undefined || this.#leaving) return false
    const realTpr = this.#findTpr(vcpu)
    if (realTpr === undefined) return false
    const { eip } = this.#host.registers(vcpu)
    return this.#stopped(() => {
      if (!this.#activate(vcpu, eip, realTpr)) return false
      this.#silence(vcpu, eip)
      return true
    })
  }

  /** Linear address at which the guest maps the task priority register. The search is bounded by the kernel's half. */
  #findTpr(vcpu: number): number | undefined {
    const isTpr = (address: number): boolean => this.#host.translate(vcpu, address) === APIC_PAGE + TPR_OFFSET
    if (this.#realTpr !== 0 && isTpr(this.#realTpr)) return this.#realTpr
    for (let page = LAST_KERNEL_PAGE; page >= FIRST_KERNEL_PAGE; page--) {
      const address = page * PAGE_BYTES + TPR_OFFSET
      if (isTpr(address)) return address
    }
    return undefined
  }

  /** Overwrites the helper's OUT: once enabled, the record stays enabled until the next reset. */
  #silence(vcpu: number, eip: number): void {
    const bytes = new Uint8Array(OUT_PORT_AL.length)
    if (!this.#rom?.holdsLinear(eip) || !this.#host.readLinear(vcpu, eip, bytes)) return
    if (matches(bytes, 0, OUT_PORT_AL)) this.#sites.replace(vcpu, eip, bytes, Uint8Array.from(TWO_BYTE_NOP))
  }

  // ---- reports ----

  /**
   * Handles the report of an access to the task priority register that has completed.
   *
   * @returns whether the instruction was patched
   */
  report(vcpu: number, report: TprReport): boolean {
    this.counts.reports++
    const patched = this.#handle(vcpu, report)
    if (patched) this.counts.patched++
    else this.counts.refused++
    return patched
  }

  #handle(vcpu: number, report: TprReport): boolean {
    if (this.#rom === undefined || this.#leaving) return false
    const site = this.#siteOf(vcpu, report)
    if (site !== undefined) return this.#stopped(() => this.#patch(vcpu, site))
    // A helper's own access to the register: its processor is new, or its record was disabled.
    if (this.state === VapicState.ACTIVE && !this.#records.has(vcpu)) this.#enable(vcpu, kpcrNumber(this.#host, vcpu))
    return false
  }

  /** Finds the instruction of a report, if it can be patched. */
  #siteOf(vcpu: number, { access, gpa, behind }: TprReport): Site | undefined {
    const { eip, esp } = this.#host.registers(vcpu)
    const region = eip >>> 28
    // Kernel and HAL are in these regions. With ESP 0 the stack is not set up, and the push of a patch would fault.
    if ((region !== 8 && region !== 0xe) || esp === 0) return undefined
    const candidates = behind === true ? this.#endingAt(vcpu, eip, access) : this.#beginningAt(vcpu, eip, access)
    return candidates.find(({ found }) => this.#host.translate(vcpu, found.address) === gpa)
  }

  #beginningAt(vcpu: number, at: number, access: TprAccess): Site[] {
    // Up to the longest; the page behind need not be mapped.
    for (let length = MAX_TPR_INSTRUCTION; length > 0; length--) {
      const bytes = new Uint8Array(length)
      if (!this.#host.readLinear(vcpu, at, bytes)) continue
      const found = findInstruction(bytes)
      return found?.row.access === access ? [{ at, found }] : []
    }
    return []
  }

  #endingAt(vcpu: number, end: number, access: TprAccess): Site[] {
    for (let length = MAX_TPR_INSTRUCTION; length > 0; length--) {
      const bytes = new Uint8Array(length)
      if (!this.#host.readLinear(vcpu, (end - length) >>> 0, bytes)) continue
      return findBackward(bytes, access).map((found) => ({ at: (end - found.row.length) >>> 0, found }))
    }
    return []
  }

  /** Patches a site, with all vCPUs stopped. */
  #patch(vcpu: number, { at, found }: Site): boolean {
    const rom = this.#rom
    if (rom === undefined || !this.#activate(vcpu, at, found.address)) return false
    const handler = rom.handlerFor(found)
    if (handler === 0) return false
    return this.#sites.patch(vcpu, { address: at, original: found.bytes, patch: patchFor(found, at, handler) })
  }

  /** Fixes the ROM's addresses to where the guest maps it and enables the vCPU's record. */
  #activate(vcpu: number, near: number, realTpr: number): boolean {
    const number = kpcrNumber(this.#host, vcpu)
    if (number < 0 || this.#rom === undefined || !this.#rom.locate(vcpu, near, realTpr)) return false
    if (!this.#enable(vcpu, number)) return false
    this.#realTpr = realTpr
    this.state = VapicState.ACTIVE
    return true
  }

  // ---- records ----

  /** Hands a vCPU's task priority over to its record. */
  #enable(vcpu: number, number: number): boolean {
    const record = this.#rom?.record(number)
    if (record === undefined || !this.#host.writePhysical(record + RECORD_ENABLED, Uint8Array.of(1))) return false
    if (this.#records.get(vcpu) === record) return true
    this.#records.set(vcpu, record)
    this.#host.useRecord(vcpu, record)
    return true
  }

  /** Hands all task priorities back to the local APICs. */
  #disableAll(): void {
    for (const vcpu of this.#records.keys()) this.#host.useRecord(vcpu, undefined)
    this.#records.clear()
  }

  // ---- arming ----

  /** Starts reports of accesses for a ROM. @returns false, disarmed, if its poll sites cannot be patched for this processor */
  #arm(rom: AnnouncedRom, state: VapicState): boolean {
    rom.mapWritable()
    if (!rom.rewritePolls()) {
      this.#host.unmapRom()
      return false
    }
    this.#rom = rom
    this.state = state
    this.#host.reportTprAccesses(true)
    return true
  }

  #disarm(): void {
    this.#disableAll()
    this.#sites = new PatchedSites(this.#host)
    this.#rom = undefined
    this.#realTpr = 0
    this.#leaving = false
    this.state = VapicState.INACTIVE
    this.#host.unmapRom()
    this.#host.reportTprAccesses(false)
  }

  /** Forgets everything: a machine reset. Guest memory is not changed. */
  reset(): void {
    this.#disarm()
  }

  #stopped<T>(change: () => T): T {
    this.#host.stopAll()
    try {
      return change()
    } finally {
      this.#host.resumeAll()
    }
  }

  // ---- leaving ----

  /**
   * Takes patches back, so that the guest can move to a host without a patcher.
   *
   * An instruction stays patched while it holds other bytes, is not mapped, or its call is about to be made. From the first
   * call on nothing is patched. When no patch is left, and no helper is being executed, the local APICs have the task
   * priorities again and the patcher is inactive. Until then let the guest run, and ask again.
   *
   * @param vcpu - through whose tables
   * @returns how much is left: instructions, and calls of helpers that have not returned
   */
  unpatch(vcpu: number): number {
    const rom = this.#rom
    if (rom === undefined) return 0
    this.#leaving = true
    return this.#stopped(() => {
      const code = new UnpatchedCode(this.#host, rom)
      const sites = this.#sites.unpatch(vcpu, code.returningTo(this.#sites.calls))
      const left = sites + code.helpersInUse()
      if (left > 0) return left
      for (const record of this.#records.values()) {
        this.#host.writePhysical(record + RECORD_ENABLED, Uint8Array.of(0))
      }
      this.#disarm()
      return 0
    })
  }

  // ---- state ----

  /** Returns the state in the migration stream's form. */
  save(): SavedVapic {
    const rom = this.#rom
    return {
      version: 1,
      rom_state: rom === undefined ? noStructure : saveStructure(rom.structure),
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
   * Any state but inactive arms again: the ROM is mapped writable, poll sites are rewritten for this processor, accesses are
   * reported. A stream that does not fit the guest's memory disarms.
   *
   * @throws VapicError `ERR_SAVED` for another version or an unknown state
   */
  restore(saved: SavedVapic): void {
    checkSaved(saved)
    const { version, state: stage, rom_state_paddr: structure } = saved
    if (version !== 1 || !Object.values<number>(VapicState).includes(stage)) {
      throw new VapicError('ERR_SAVED', `saved state of version ${version} with state ${stage}: expected 1 with 0 to 2`)
    }
    this.#disarm()
    // Streams from versions before STANDBY existed.
    const state = stage === VapicState.INACTIVE && structure !== 0 ? VapicState.STANDBY : (stage as VapicState)
    if (state === VapicState.INACTIVE) return
    const offset = structure % ROM_BLOCK
    const rom = AnnouncedRom.read(this.#host, structure - offset, offset)
    if (rom === undefined || !rom.resume(saved.rom_state_vaddr, saved.vapic_paddr) || !this.#arm(rom, state)) return
    this.#realTpr = saved.real_tpr_addr
    if (state !== VapicState.ACTIVE) return
    // A single processor continues with its record. Several processors return by their own accesses.
    if (this.#host.vcpuCount === 1) this.#enable(0, 0)
    else rom.clearRecords()
  }
}
