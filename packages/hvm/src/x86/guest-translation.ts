import type { LocalApic } from '@retrap/irqchip'
import {
  ACCESS_FETCH,
  ACCESS_READ,
  ACCESS_USER,
  ACCESS_WRITE,
  MAP_USER,
  PagingContext,
  PagingMode,
  PagingStructureCache,
  WALK_OK,
  WALK_SECOND_LEVEL,
  WalkResult,
  type explain,
  type Explanation,
  probe,
  walk,
} from '@retrap/paging'
import type { PagingCpu } from '@retrap/paging'
import type { MachineMemory } from '@retrap/memory'
import { type P2m, P2M_EXECUTE, P2M_READ, P2M_WRITE } from '@retrap/p2m'
import { STATUS_RESTART, STATUS_DONE, STATUS_FAULT, STATUS_RETRY, LoggedTables, type AccessLog } from '@retrap/replay'
import { ACCESS_RESIDENT, KEY_USER } from '@retrap/x86-cpu'
import type { CpuRegisters, Translation } from '@retrap/x86-cpu'
import type { GuestMemory } from '../memory/guest-memory.ts'
import { GuestTables, linearPieces } from '../memory/guest-tables.ts'
import type { Invalidations } from '../memory/invalidation.ts'
import type { SecondLevelFaults } from '../memory/second-level.ts'
import type { SystemManagementMemory } from './surroundings.ts'

/** MAP_GLOBAL of `@retrap/paging`'s results. */
const GLOBAL_FLAG = 0x100

/** A walk of the guest's page tables that has ended. */
export interface GuestWalk {
  /** Linear address. */
  readonly linear: bigint
  /** `ACCESS_*` of `@retrap/paging`. */
  readonly access: number
  /** Guest-physical address; undefined where the access faults. */
  readonly gpa: number | undefined
  /** Bytes of the page. */
  readonly pageBytes: number
  /** Number of table entries read. */
  readonly reads: number
  /** Error code of the page fault; undefined: no fault. */
  readonly errorCode: number | undefined
}

const ONE_MIB = 0x10_0000

/** A physical address with line 20 low. */
const withoutA20 = (gpa: number): number => (Math.floor(gpa / ONE_MIB) % 2 === 1 ? gpa - ONE_MIB : gpa)

/** The page tables of a PC's guest, which may lie in system-management memory, behind address line 20. */
class PcTables extends GuestTables {
  /** Memory that hides the guest's map; null: none. */
  managed: SystemManagementMemory | null = null
  /** Whether address line 20 is held low. */
  a20Masked = false

  protected override onBus(gpa: number): number {
    return this.a20Masked ? withoutA20(gpa) : gpa
  }

  protected override inFront(gpa: number): number {
    return this.managed === null ? -1 : this.managed.machineAddress(gpa)
  }
}

/** The parts of a domain that its translations go through, or another thread's view of them. */
export interface TranslatedDomain {
  readonly memory: MachineMemory
  /** The guest's map. */
  readonly p2m: Pick<P2m, 'translate' | 'translateExecute' | 'translateLogged' | 'translateWrite'>
  /** Handles accesses that the map does not allow. */
  readonly secondLevel: Pick<SecondLevelFaults, 'fault' | 'peek' | 'resolvedWrite' | 'tableWrite'>
  /** Whether a vCPU is to send a notice before it goes on. */
  readonly invalidations: Pick<Invalidations, 'flagged'>
  /** For a debugger's writes. */
  readonly guestMemory: Pick<GuestMemory, 'load'>
  /** A vCPU waits for its own notice. */
  wake(): void
}

const PROGRAM_FETCH = ACCESS_FETCH | ACCESS_USER

/** Translates a vCPU's linear addresses: walks the guest's tables, then its second-level map. */
export class GuestTranslation {
  /** @internal Walks, and table entries that they read. */
  readonly counts: { walks: number; tableReads: number }
  readonly #vcpu: number
  readonly #domain: TranslatedDomain
  readonly #apic: Pick<LocalApic, 'decodes'>
  readonly #paging: PagingContext
  readonly #walk = new WalkResult()
  /** @internal Cached table entries. */
  readonly cache: PagingStructureCache = new PagingStructureCache()
  readonly #tables: PcTables
  /** For people: walks that change nothing. */
  readonly #peekTables: PcTables
  readonly #loggedTables: LoggedTables
  /** Called for each walk; null: nothing observes it. */
  watch: ((walk: GuestWalk) => void) | null = null
  /** Called with the guest-physical address of each fetch of a program that was walked for; null: nothing observes them. */
  onProgramFetch: ((gpa: number) => void) | null = null
  #managed: SystemManagementMemory | null = null
  #a20Masked = false

  /**
   * @internal
   * @param processor - the processor's registers and features that affect walks
   * @param log - the vCPU's, for walks of logged passes
   * @param counts - counted up here
   */
  constructor(
    vcpu: number,
    domain: TranslatedDomain,
    processor: PagingCpu,
    apic: Pick<LocalApic, 'decodes'>,
    log: AccessLog,
    counts: { walks: number; tableReads: number },
  ) {
    this.#vcpu = vcpu
    this.#paging = new PagingContext(processor)
    this.#domain = domain
    this.#apic = apic
    this.counts = counts
    this.#tables = new PcTables(domain.memory, domain.p2m, domain.secondLevel, vcpu)
    this.#peekTables = new PcTables(domain.memory, {
      translate: (gpa) => domain.secondLevel.peek(gpa),
      translateWrite: () => -1,
    })
    this.#loggedTables = new LoggedTables(log, this.#tables)
  }

  /**
   * Sets memory and A20 gate for the processor's bus accesses, including page walks.
   *
   * @internal
   * @param managed - memory that hides the guest's map, in system-management mode; null: none
   * @param a20Masked - whether address line 20 is held low
   */
  setBus(managed: SystemManagementMemory | null, a20Masked: boolean): void {
    this.#managed = managed
    this.#a20Masked = a20Masked
    this.#tables.managed = managed
    this.#tables.a20Masked = a20Masked
    this.#peekTables.a20Masked = a20Masked
  }

  /** @internal Takes control registers and PDPTEs from the processor. */
  configure(registers: CpuRegisters): void {
    registers.configurePaging(this.#paging)
  }

  /** @internal As `CpuHost.translate` of `@retrap/x86-cpu`. */
  translate(lo: number, hi: number, access: number, into: Translation, log: AccessLog | null): number {
    const result = this.#walk
    const isResident = (access & ACCESS_RESIDENT) !== 0
    if (!isResident) this.counts.walks++
    if (log !== null) log.beginWalk()
    // A fetched instruction has no pass yet.
    this.#tables.defersWatched = log === null && (access & ACCESS_FETCH) === 0
    // A logged pass reads every entry again, to record all of them.
    const status =
      log === null && !isResident
        ? walk(this.#paging, this.#tables, lo, hi, access, result, this.cache)
        : (isResident ? probe : walk)(
            this.#paging,
            log === null ? this.#tables : this.#loggedTables,
            lo,
            hi,
            access,
            result,
          )
    this.#tables.defersWatched = false
    this.counts.tableReads += result.reads
    into.ma = -1
    if (status === WALK_SECOND_LEVEL) return waiting(access, log)
    // Without paging nothing is read.
    if (result.reads > 0 && !isResident)
      this.watch?.({
        linear: (BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0),
        access,
        gpa: status === WALK_OK ? result.gpa : undefined,
        pageBytes: result.pageBytes,
        reads: result.reads,
        errorCode: status === WALK_OK ? undefined : result.pfec,
      })
    if (status !== WALK_OK) {
      // A page fault drops the cached entries of the address, in a logged pass too.
      this.cache.drop(lo, hi, this.#paging.mode, this.#paging.pcid)
      into.errorCode = result.pfec
      return STATUS_FAULT
    }
    if (this.onProgramFetch !== null && (access & PROGRAM_FETCH) === PROGRAM_FETCH) this.onProgramFetch(result.gpa)
    into.global = (result.flags & GLOBAL_FLAG) !== 0
    into.pageBytes = result.pageBytes
    into.key = result.pkey | ((result.flags & MAP_USER) === 0 ? 0 : KEY_USER)
    return this.locate(result.gpa, access, into, log)
  }

  /** @internal Finds what is behind a guest-physical address; as `CpuHost.translatePhysical` of `@retrap/x86-cpu`. */
  locate(address: number, access: number, into: Translation, log: AccessLog | null): number {
    const gpa = this.#a20Masked ? withoutA20(address) : address
    into.gpa = gpa
    into.cacheable = true
    if (this.#apic.decodes(gpa)) {
      into.ma = -1
      into.writable = false
      return STATUS_DONE
    }
    if (this.#managed !== null) {
      into.ma = this.#managed.machineAddress(gpa)
      into.writable = into.ma >= 0 && (access & ACCESS_WRITE) !== 0
      if (into.ma >= 0) return STATUS_DONE
    }
    const { p2m } = this.#domain
    const write = (access & ACCESS_WRITE) !== 0
    into.ma = (access & ACCESS_FETCH) === 0 ? p2m.translate(gpa) : p2m.translateExecute(gpa)
    // RAM whose writes are logged is the usual case of what may be read and not written.
    into.writable = write && into.ma >= 0 && (p2m.translateWrite(gpa) >= 0 || p2m.translateLogged(gpa) >= 0)
    return into.ma >= 0 && (into.writable || !write) ? STATUS_DONE : this.#secondLevelFault(gpa, access, into, log)
  }

  /** Reports a fault of the second level, whose frame does not permit the access. */
  #secondLevelFault(gpa: number, access: number, into: Translation, log: AccessLog | null): number {
    const { p2m, secondLevel, invalidations } = this.#domain
    const write = (access & ACCESS_WRITE) !== 0
    const wanted = (access & ACCESS_FETCH) !== 0 ? P2M_EXECUTE : write ? P2M_WRITE : P2M_READ
    switch (secondLevel.fault(this.#vcpu, gpa, wanted)) {
      case STATUS_DONE:
        into.ma = p2m.translate(gpa)
        into.writable = write && secondLevel.resolvedWrite(gpa) >= 0
        return invalidations.flagged(this.#vcpu) ? this.#leaveSoon(access, log) : STATUS_DONE
      case STATUS_RETRY:
        into.ma = -1
        return waiting(access, log)
      case STATUS_RESTART:
        into.ma = -1
        return STATUS_DONE
      default:
        return STATUS_DONE
    }
  }

  /**
   * The access has taken RAM from the map, and the vCPU is to send a notice before its next instruction: the present one
   * goes on alone, in a logged pass. An instruction that is being fetched waits for the notice as well.
   */
  #leaveSoon(access: number, log: AccessLog | null): number {
    if (log !== null) return STATUS_DONE
    if ((access & ACCESS_FETCH) !== 0) this.#domain.wake()
    return waiting(access, log)
  }

  /**
   * Guest-physical address of a linear one, for the hypervisor's copies of what a hypercall's arguments point to. Walks
   * the tables afresh, and sets A and D bits.
   *
   * @param access - `ACCESS_*` of `@retrap/paging`
   * @returns −1 where the access is not allowed or would reach the local APIC
   */
  guestPhysical(lo: number, hi: number, access: number): number {
    if (!this.#isCanonical(hi)) return -1
    if (walk(this.#paging, this.#tables, lo, hi, access, this.#walk) !== WALK_OK) return -1
    const { gpa } = this.#walk
    return this.#apic.decodes(gpa) ? -1 : gpa
  }

  /** Whether a linear address with this high word may be walked to. */
  #isCanonical(hi: number): boolean {
    const { mode } = this.#paging
    if (mode < PagingMode.FOUR_LEVEL) return true
    const shift = mode === PagingMode.FOUR_LEVEL ? 16 : 7
    return (hi << shift) >> shift === (hi | 0)
  }

  /** Guest-physical address that a linear one maps to now, for a supervisor; sets no A bits. −1: it is not mapped. */
  linearToPhysical(lo: number, hi: number): number {
    return this.#probe(lo, hi, ACCESS_READ)
  }

  /**
   * Returns bytes at a linear address, as fetched by the guest's kernel or a program; without setting A bits, and shorter if
   * unmapped.
   */
  peekCode(linear: bigint, length: number): Uint8Array {
    const bytes: number[] = []
    for (let i = 0; i < length; i++) {
      const at = BigInt.asUintN(64, linear + BigInt(i))
      const address = this.#debugged(Number(at & 0xffff_ffffn), Number(at >> 32n), ACCESS_FETCH)
      const ma = this.#seenAt(address)
      if (ma < 0) break
      bytes.push(this.#domain.memory.u8[ma]!)
    }
    return Uint8Array.from(bytes)
  }

  /**
   * Reads memory at a linear address for a debugger, whatever the guest's own rights there: nothing changes, and no device
   * is asked.
   *
   * @returns number of bytes read, up to the first byte without mapped memory
   */
  peek(linear: bigint, into: Uint8Array): number {
    return linearPieces(
      linear,
      into.length,
      (lo, hi) => this.#debugged(lo, hi),
      (gpa, from, to) => {
        const ma = this.#seenAt(gpa)
        if (ma < 0) return false
        into.set(this.#domain.memory.u8.subarray(ma, ma + to - from), from)
        return true
      },
    )
  }

  /** Writes memory, including ROM, like `peek`. @returns number of bytes written */
  poke(linear: bigint, bytes: Uint8Array): number {
    return linearPieces(
      linear,
      bytes.length,
      (lo, hi) => this.#debugged(lo, hi),
      (gpa, from, to) => {
        const ma = this.#seenAt(gpa)
        if (ma < 0) return false
        const piece = bytes.subarray(from, to)
        if (this.#managed !== null && this.#managed.machineAddress(gpa) >= 0) this.#domain.memory.write(ma, piece)
        else this.#domain.guestMemory.load(this.#a20Masked ? withoutA20(gpa) : gpa, piece)
        return true
      },
    )
  }

  /** Returns the guest-physical address of a linear one for debuggers, subject to the A20 gate; −1 if unmapped. */
  peekPhysical(linear: bigint): number {
    const at = BigInt.asUintN(64, linear)
    const gpa = this.#debugged(Number(at & 0xffff_ffffn), Number(at >> 32n))
    return gpa >= 0 && this.#a20Masked ? withoutA20(gpa) : gpa
  }

  /**
   * For people: every table entry on the way to a linear address, and what the paging-structure cache has of it. Nothing
   * changes. The access is a supervisor's read; a user's, where only that is allowed.
   *
   * @param by - `explain` of `@retrap/paging`, loaded by the caller
   * @returns null for an address that is not canonical
   */
  explainBy(by: typeof explain, linear: bigint): Explanation | null {
    if (!this.#isCanonical(Number(BigInt.asUintN(64, linear) >> 32n))) return null
    const asSupervisor = by(this.#paging, this.#peekTables, linear, {}, this.cache)
    if (asSupervisor.outcome.kind === 'mapped') return asSupervisor
    // Under SMAP a supervisor cannot read a user's pages.
    const asUser = by(this.#paging, this.#peekTables, linear, { user: true }, this.cache)
    return asUser.outcome.kind === 'mapped' ? asUser : asSupervisor
  }

  /**
   * Guest-physical address of the page-table entry on the way to a linear address that is in no memory, but in a device or
   * nowhere: walks take it for not present. −1: all entries are in memory, or there is no paging.
   */
  tableOutside(linear: bigint): number {
    const tables = this.#peekTables
    tables.outside = -1
    this.#debugged(Number(linear & 0xffff_ffffn), Number(linear >> 32n))
    return tables.outside
  }

  /** Returns the guest-physical address that a debugger sees at a linear one; −1 if unmapped. */
  #debugged(lo: number, hi: number, access = ACCESS_READ): number {
    if (!this.#isCanonical(hi)) return -1
    const asSupervisor = this.#probe(lo, hi, access)
    // Under SMAP and SMEP a supervisor cannot access a user's pages.
    return asSupervisor >= 0 ? asSupervisor : this.#probe(lo, hi, access | ACCESS_USER)
  }

  /** Machine address of the memory that the processor sees at a guest-physical address; −1 for none. */
  #seenAt(address: number): number {
    if (address < 0) return -1
    const gpa = this.#a20Masked ? withoutA20(address) : address
    if (this.#apic.decodes(gpa)) return -1
    const managed = this.#managed?.machineAddress(gpa) ?? -1
    return managed >= 0 ? managed : this.#domain.secondLevel.peek(gpa)
  }

  #probe(lo: number, hi: number, access: number): number {
    const status = probe(this.#paging, this.#peekTables, lo, hi, access, this.#walk)
    return status === WALK_OK ? this.#walk.gpa : -1
  }
}

/**
 * Returns the status of an access that waits for another party than a device. Outside a logged pass the instruction
 * restarts in one; its bytes are fetched before.
 */
function waiting(access: number, log: AccessLog | null): number {
  return log === null && (access & ACCESS_FETCH) === 0 ? STATUS_RESTART : STATUS_RETRY
}
