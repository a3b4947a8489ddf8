/**
 * Fetches the instruction that aborted, as the guest would.
 *
 * Between the trap and the fetch another vCPU may have remapped the page or changed the code. So the address is translated as an
 * instruction fetch at the guest's exception level, and again after the read; the instruction must explain the abort
 * (`explain.ts`), or nothing happens and the guest executes it again. The log has the fetched bytes, so later passes decode the
 * same instruction.
 */
import { ARM_FETCH, ARM_UNPRIVILEGED, ARM_WALK_OK, ArmWalkResult, walkArm } from '@retrap/paging'
import type { AccessPath } from './access-path.ts'
import { decodeLoadStoreA32, decodeLoadStoreThumb, isWideThumb } from '@retrap/arm-decoder'
import { decodeLoadStoreA64 } from '@retrap/arm-decoder'
import type { LoadStore } from '@retrap/arm-decoder'
import {
  AccessKind,
  type AccessLog,
  type AccessStatus,
  STATUS_DONE,
  STATUS_RESTART,
  STATUS_UNHANDLED,
} from '@retrap/replay'
import { type ArmVcpu, isAArch32, isUser, PSTATE_T } from './vcpu.ts'
import { type ArmWorld, Region } from './world.ts'

/** Fetches and decodes instructions of one vCPU. */
export class InstructionFetch {
  readonly #vcpu: ArmVcpu
  readonly #world: ArmWorld
  readonly #log: AccessLog
  readonly #path: AccessPath
  readonly #stopWorld: boolean
  readonly #again: ArmWalkResult
  /** Record of the fetch made last. */
  #last: number

  constructor(vcpu: ArmVcpu, world: ArmWorld, log: AccessLog, path: AccessPath, stopWorld: boolean) {
    this.#vcpu = vcpu
    this.#world = world
    this.#log = log
    this.#path = path
    this.#stopWorld = stopWorld
    this.#again = new ArmWalkResult()
    this.#last = 0
  }

  /**
   * @param insn - filled in
   * @returns `DONE`; `RETRY` if no instruction is readable at PC now; `ABORT` if it is not a load or store
   */
  fetch(insn: LoadStore): AccessStatus {
    const { pstate } = this.#vcpu
    const thumb = isAArch32(this.#vcpu) && (pstate & PSTATE_T) !== 0
    const lo = this.#vcpu.pc[0]!
    const first = this.#read(lo, thumb ? 2 : 4)
    if (first < 0) return STATUS_RESTART
    if (!thumb) {
      const decode = isAArch32(this.#vcpu) ? decodeLoadStoreA32 : decodeLoadStoreA64
      return decode(first, insn) ? STATUS_DONE : STATUS_UNHANDLED
    }
    let second = 0
    if (isWideThumb(first)) {
      second = this.#read((lo + 2) >>> 0, 2)
      if (second < 0) return STATUS_RESTART
    }
    return decodeLoadStoreThumb(first, second, insn) ? STATUS_DONE : STATUS_UNHANDLED
  }

  /** Reads an instruction word or halfword; -1 if unreadable. Instructions are little-endian. */
  #read(lo: number, size: number): number {
    const log = this.#log
    const hi = isAArch32(this.#vcpu) ? 0 : this.#vcpu.pc[1]!
    const known = log.replaying
    if (!known) {
      const bracket = this.#stopWorld
      if (bracket) this.#world.stopWorld?.()
      const found = this.#load(lo, hi, size)
      if (bracket) this.#world.resumeWorld?.()
      if (!found) return -1
      return log.dataLo(this.#last) >>> 0
    }
    return log.dataLo(log.access(AccessKind.FETCH, lo, hi, size, 0)) >>> 0
  }

  #load(lo: number, hi: number, size: number): boolean {
    const path = this.#path
    const access = ARM_FETCH | (isUser(this.#vcpu) ? ARM_UNPRIVILEGED : 0)
    if (path.translate(lo, hi, size, access) !== STATUS_DONE) return false
    const ipa = path.ipaOf(lo, hi)
    const ipaHi = Math.floor(ipa / 2 ** 32)
    if (this.#world.region(ipa >>> 0, ipaHi, false) !== Region.RAM) return false
    const index = this.#log.access(AccessKind.FETCH, lo, hi, size, 0)
    if (this.#log.state(index) === STATUS_RESTART) {
      this.#world.readRam(ipa >>> 0, ipaHi, size, this.#log.bytes, this.#log.dataOffset(index))
      this.#log.complete(index)
    }
    this.#last = index
    return this.#stopWorld || this.#stillThere(lo, hi, access, ipa)
  }

  /** Whether the page has not been moved while it was read: its frame may have been given to someone else meanwhile. */
  #stillThere(lo: number, hi: number, access: number, ipa: number): boolean {
    const outcome = walkArm(this.#path.context, this.#world.tables, lo, hi, access, this.#again)
    return outcome === ARM_WALK_OK && this.#again.ipa === ipa
  }
}
