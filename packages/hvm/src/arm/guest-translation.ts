import { KEY_GUARDED } from '@retrap/arm-cpu'
import type { ArmTranslation } from '@retrap/arm-cpu'
import {
  ARM_FETCH,
  ARM_UNPRIVILEGED,
  ARM_WALK_FAULT,
  ARM_WALK_OK,
  ARM_WRITE,
  ArmPagingContext,
  ArmWalkResult,
  walkArm,
} from '@retrap/paging'
import type { ArmTranslationRegisters, TableStatus } from '@retrap/paging'
import { P2M_EXECUTE, P2M_READ, P2M_WRITE, P2mEntry } from '@retrap/p2m'
import { PAGE_BYTES } from '@retrap/memory'
import { STATUS_DONE } from '@retrap/replay'
import type { Domain } from '../domain.ts'
import { GuestTables, linearPieces } from '../memory/guest-tables.ts'

/** Fault status codes of stage 2, to which the level is added. */
const FSC_TRANSLATION = 0x04
const FSC_PERMISSION = 0x0c

/** The level of stage 2 that a leaf of an order is of. */
const levelOf = (order: number): number => (order >= 27 ? 0 : order >= 18 ? 1 : order >= 9 ? 2 : 3)

/** A walk of an Arm guest's page tables that has ended. */
export interface ArmGuestWalk {
  /** Virtual address. */
  readonly linear: bigint
  /** `ARM_*` of `@retrap/paging`. */
  readonly access: number
  /** Intermediate physical address; undefined where stage 1 faults. */
  readonly gpa: number | undefined
  /** Bytes of the page. */
  readonly pageBytes: number
  /** Number of descriptors read. */
  readonly reads: number
  /** Fault status code of stage 1; undefined: no fault. */
  readonly faultStatus: number | undefined
}

/** The guest's tables, with a count of descriptors read. */
class CountedTables extends GuestTables {
  reads = 0

  override read32(gpa: number, into: Uint32Array): TableStatus {
    this.reads++
    return super.read32(gpa, into)
  }

  override read64(gpa: number, into: Uint32Array): TableStatus {
    this.reads++
    return super.read64(gpa, into)
  }
}

const PROGRAM_FETCH = ARM_FETCH | ARM_UNPRIVILEGED

/** Translates a vCPU's virtual addresses: walks the guest's tables, then its second-stage map. */
export class ArmGuestTranslation {
  /** @internal The guest's tables, as the vCPU walks them. */
  readonly tables: GuestTables
  readonly #vcpu: number
  readonly #domain: Domain
  readonly #registers: ArmTranslationRegisters
  readonly #context = new ArmPagingContext()
  readonly #walk = new ArmWalkResult()
  readonly #entry = new P2mEntry()
  readonly #peekTables: GuestTables
  /** Called for each walk; null: nothing observes it. */
  watch: ((walk: ArmGuestWalk) => void) | null = null
  /** Called with the guest-physical address of each fetch of a program that was walked for; null: nothing observes them. */
  onProgramFetch: ((gpa: number) => void) | null = null
  /** Control registers have changed since the context was made. */
  #isStale = true

  /** @internal @param registers - the vCPU's, as they are at any time */
  constructor(vcpu: number, domain: Domain, registers: ArmTranslationRegisters) {
    this.#vcpu = vcpu
    this.#domain = domain
    this.#registers = registers
    this.tables = new GuestTables(domain.memory, domain.p2m, domain.secondLevel, vcpu)
    this.#peekTables = new GuestTables(domain.memory, {
      translate: (gpa) => domain.secondLevel.peek(gpa),
      translateWrite: () => -1,
    })
  }

  /** @internal Called after a write of control registers. A process switch writes several of them. */
  controlChanged(): void {
    this.#isStale = true
  }

  /** The control registers, as walks need them. */
  get #current(): ArmPagingContext {
    if (this.#isStale) this.#context.update(this.#registers)
    this.#isStale = false
    return this.#context
  }

  /** @internal As `ArmHost.translate` of `@retrap/arm-cpu`. */
  translate(lo: number, hi: number, access: number, into: ArmTranslation): boolean {
    const walk = this.#walk
    const outcome =
      this.watch === null
        ? walkArm(this.#current, this.tables, lo, hi, access, walk)
        : this.#watchedWalk(lo, hi, access)
    into.stage2 = false
    into.tableWalk = false
    if (outcome === ARM_WALK_FAULT) {
      into.faultStatus = walk.status
      return false
    }
    if (outcome !== ARM_WALK_OK) {
      into.tableWalk = true
      return this.#fault(walk.tableIpa, FSC_TRANSLATION, into)
    }
    if (this.onProgramFetch !== null && (access & PROGRAM_FETCH) === PROGRAM_FETCH) this.onProgramFetch(walk.ipa)
    into.device = walk.device
    into.attributes = walk.attributes
    into.global = walk.global
    into.key = walk.guarded ? KEY_GUARDED : 0
    into.pageBytes = walk.pageBytes
    into.cacheable = true
    return this.#locate(walk.ipa, access, into)
  }

  /** Walks, and reports the walk to the watch, except walks that stage 2 stops. */
  #watchedWalk(lo: number, hi: number, access: number): number {
    const { watch } = this
    const { memory, p2m, secondLevel } = this.#domain
    const tables = new CountedTables(memory, p2m, secondLevel, this.#vcpu)
    const walk = this.#walk
    const outcome = walkArm(this.#current, tables, lo, hi, access, walk)
    // With stage 1 disabled no walk took place.
    if (watch === null || tables.reads === 0) return outcome
    const linear = (BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0)
    const found = { linear, access, pageBytes: walk.pageBytes, reads: tables.reads }
    if (outcome === ARM_WALK_OK) watch({ ...found, gpa: walk.ipa, faultStatus: undefined })
    else if (outcome === ARM_WALK_FAULT) watch({ ...found, gpa: undefined, faultStatus: walk.status })
    return outcome
  }

  /** Finds the memory at an intermediate physical address. */
  #locate(ipa: number, access: number, into: ArmTranslation): boolean {
    const { p2m, secondLevel } = this.#domain
    const write = (access & ARM_WRITE) !== 0
    const fetch = (access & ARM_FETCH) !== 0
    into.ipa = ipa
    into.ma = fetch ? p2m.translateExecute(ipa) : p2m.translate(ipa)
    // RAM whose writes are logged is the usual case of what may be read and not written.
    into.writable = write && into.ma >= 0 && (p2m.translateWrite(ipa) >= 0 || p2m.translateLogged(ipa) >= 0)
    if (into.ma >= 0 && (into.writable || !write)) return true
    const wanted = fetch ? P2M_EXECUTE : write ? P2M_WRITE : P2M_READ
    if (secondLevel.fault(this.#vcpu, ipa, wanted) !== STATUS_DONE) {
      return this.#fault(ipa, into.ma >= 0 || p2m.translate(ipa) >= 0 ? FSC_PERMISSION : FSC_TRANSLATION, into)
    }
    into.ma = p2m.translate(ipa)
    into.writable = write && secondLevel.resolvedWrite(ipa) >= 0
    return into.ma >= 0
  }

  /** A fault of stage 2. @returns false */
  #fault(ipa: number, status: number, into: ArmTranslation): false {
    const { p2m } = this.#domain
    p2m.lookup(Math.floor(ipa / PAGE_BYTES), this.#entry)
    into.stage2 = true
    into.ipa = ipa
    into.ma = -1
    into.faultStatus = status | levelOf(this.#entry.order)
    return false
  }

  /**
   * Intermediate physical address of a virtual one, for the hypervisor's copies of what a hypercall's arguments point to:
   * with EL1's rights, without PAN. Walks the tables afresh, and sets the bits that an access sets.
   *
   * @returns −1 if the access is not permitted
   */
  guestPhysical(lo: number, hi: number, write: boolean): number {
    const outcome = walkArm(this.#current, this.tables, lo, hi, write ? ARM_WRITE : 0, this.#walk)
    return outcome === ARM_WALK_OK ? this.#walk.ipa : -1
  }

  /** Intermediate physical address that a virtual one maps to now, for EL1; sets no bits in tables. −1: it is not mapped. */
  linearToPhysical(lo: number, hi: number): number {
    return walkArm(this.#current, this.#peekTables, lo, hi, 0, this.#walk) === ARM_WALK_OK ? this.#walk.ipa : -1
  }

  /** Has `explainArm` of `@retrap/paging` say how a virtual address is translated: programs that explain nothing do not load it. */
  explainBy<T>(explain: (context: ArmPagingContext, tables: GuestTables, linear: bigint) => T, linear: bigint): T {
    return explain(this.#current, this.#peekTables, BigInt.asUintN(64, linear))
  }

  /** Intermediate physical address of a virtual one for debuggers; −1 if it is unmapped. */
  peekPhysical(linear: bigint): number {
    const at = BigInt.asUintN(64, linear)
    return this.linearToPhysical(Number(at & 0xffff_ffffn), Number(at >> 32n))
  }

  /**
   * Reads memory at a virtual address for a debugger, whatever the guest's own rights there: nothing changes, and no device
   * is asked.
   *
   * @returns number of bytes read, up to the first byte without mapped memory
   */
  peek(linear: bigint, into: Uint8Array): number {
    const { memory, secondLevel } = this.#domain
    return linearPieces(
      linear,
      into.length,
      (lo, hi) => this.linearToPhysical(lo, hi),
      (gpa, from, to) => {
        const ma = secondLevel.peek(gpa)
        if (ma < 0) return false
        into.set(memory.u8.subarray(ma, ma + to - from), from)
        return true
      },
    )
  }

  /** Writes memory, including ROM, like `peek`. @returns number of bytes written */
  poke(linear: bigint, bytes: Uint8Array): number {
    const { guestMemory, secondLevel } = this.#domain
    return linearPieces(
      linear,
      bytes.length,
      (lo, hi) => this.linearToPhysical(lo, hi),
      (gpa, from, to) => secondLevel.peek(gpa) >= 0 && guestMemory.load(gpa, bytes.subarray(from, to)),
    )
  }
}
