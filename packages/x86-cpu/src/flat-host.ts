import { TWO_32 } from '@retrap/basics'
import { type MachineMemory, PAGE_BYTES } from '@retrap/memory'
import { ACCESS_WRITE, MAP_USER, PagingContext, PagingStructureCache, WALK_OK, WalkResult, walk } from '@retrap/paging'
import type { TableReader } from '@retrap/paging'
import { LoggedTables } from '@retrap/replay'
import type { AccessLog } from '@retrap/replay'
import { IOREQ_PIO, IOREQ_WRITE, KEY_USER } from './state/host.ts'
import type { AccessRecord, CpuHost, Translation, Words } from './state/host.ts'
import { STATUS_DONE, STATUS_FAULT } from './state/state-layout.ts'
import type { Vcpu } from './vcpu.ts'

/** MAP_GLOBAL of `@retrap/paging`'s results. */
const GLOBAL_FLAG = 0x100

/**
 * The plainest world for a vCPU: RAM from guest-physical 0 up, and nothing else. Page walks are real. Addresses outside RAM read
 * as ones and ignore writes, ports and model-specific registers beyond the CPU's own are absent, and no interrupt comes. Extend
 * it for more; a whole machine is `@retrap/hvm`'s.
 */
export class FlatHost implements CpuHost {
  /** Machine memory. */
  readonly memory: MachineMemory
  /** Machine address of guest-physical 0. */
  readonly ramMa: number
  /** Bytes of RAM. */
  readonly ramBytes: number
  /** No device takes its time here. */
  readonly record: AccessRecord = {
    type: IOREQ_PIO,
    direction: IOREQ_WRITE,
    addressLo: 0,
    addressHi: 0,
    dataLo: 0,
    dataHi: 0,
    count: 1,
    size: 1,
    df: false,
    dataIsPointer: false,
    lo: 0,
    hi: 0,
    made: 0,
  }
  /** Of the processor that {@link FlatHost.attach} is given. */
  #paging = new PagingContext({ maxPhysicalBits: 40, pages1G: true, pse36: true, amd: false })
  /** The last walk. */
  protected readonly walked: WalkResult = new WalkResult()
  /** Walks without a log begin here; null for none. */
  protected cache: PagingStructureCache | null = new PagingStructureCache()
  /** Reads the tables for walks. A host that has its own sets it before {@link FlatHost.attach}. */
  protected tables: TableReader
  #loggedTables: LoggedTables | undefined
  #vcpu: Vcpu | undefined

  /**
   * @param ramBytes - whole 4 KiB pages
   * @param ramMa - machine address of RAM that is there already, as a vCPU beside others has it; new RAM where it is left out
   * @throws MemoryError if machine memory has no room for new RAM
   */
  constructor(memory: MachineMemory, ramBytes: number, ramMa?: number) {
    this.memory = memory
    this.ramBytes = ramBytes
    this.ramMa = ramMa ?? memory.allocate(ramBytes, PAGE_BYTES, 'RAM')
    this.tables = flatTables(memory, (gpa) => this.ramAddress(gpa))
  }

  /** The vCPU that was made with this host; before its first reset. */
  attach(vcpu: Vcpu): void {
    this.#vcpu = vcpu
    this.#paging = new PagingContext(vcpu.processor.paging)
    this.#loggedTables = new LoggedTables(vcpu.log, this.tables)
  }

  /**
   * Writes RAM as a device does, so that decoded code of it is dropped.
   *
   * @throws MemoryError if some byte lies outside machine memory
   */
  load(gpa: number, bytes: Uint8Array): void {
    this.memory.write(this.ramMa + gpa, bytes)
  }

  /** Walks the guest’s page tables for one byte. */
  translate(lo: number, hi: number, access: number, into: Translation, log: AccessLog | null): number {
    const result = this.walked
    if (log !== null) log.beginWalk()
    const tables = log === null ? this.tables : (this.#loggedTables as LoggedTables)
    // The log has all that a walk of its pass reads.
    const cache = log === null ? this.cache : null
    if (walk(this.#paging, tables, lo, hi, access, result, cache) !== WALK_OK) {
      // A page fault drops what is held of the address, in a logged pass too.
      this.cache?.drop(lo, hi, this.#paging.mode, this.#paging.pcid)
      into.errorCode = result.pfec
      return STATUS_FAULT
    }
    into.gpa = result.gpa
    into.ma = this.ramAddress(result.gpa)
    into.writable = (access & ACCESS_WRITE) !== 0 && into.ma >= 0
    into.cacheable = true
    into.global = (result.flags & GLOBAL_FLAG) !== 0
    into.pageBytes = result.pageBytes
    into.key = result.pkey | ((result.flags & MAP_USER) === 0 ? 0 : KEY_USER)
    return STATUS_DONE
  }

  /** Returns the machine address of the RAM behind a guest-physical address, or −1. */
  ramAddress(gpa: number): number {
    return gpa < this.ramBytes ? this.ramMa + gpa : -1
  }

  /** Reads what is not RAM. */
  physicalRead(_gpa: number, _size: number, into: Words, _logged: boolean): number {
    into.lo = 0xffff_ffff
    into.hi = 0xffff_ffff
    return STATUS_DONE
  }

  /** Writes what is not RAM. */
  physicalWrite(_gpa: number, _size: number, _lo: number, _hi: number, _logged: boolean): number {
    return STATUS_DONE
  }

  /** Takes a device's answer; none has to be waited for here. */
  answer(): number {
    return STATUS_DONE
  }

  /** Serves IN of 1, 2 or 4 bytes. */
  portRead(_port: number, _size: number, into: Words, _logged: boolean): number {
    into.lo = 0xffff_ffff
    into.hi = 0
    return STATUS_DONE
  }

  /** Serves OUT of 1, 2 or 4 bytes. */
  portWrite(_port: number, _size: number, _value: number, _logged: boolean): number {
    return STATUS_DONE
  }

  /** Reads an MSR that the CPU does not hold itself; STATUS_FAULT becomes #GP(0). */
  readMsr(_index: number, _into: Words): number {
    return STATUS_FAULT
  }

  /** Writes an MSR that the CPU does not hold itself; STATUS_FAULT becomes #GP(0). */
  writeMsr(_index: number, _lo: number, _hi: number): number {
    return STATUS_FAULT
  }

  /** Changes what the CPU reports about itself. */
  cpuid(_leaf: number, _subleaf: number, _into: Uint32Array): void {
    // The host has nothing to add.
  }

  /** Serves VMCALL and VMMCALL; STATUS_FAULT becomes #UD. */
  hypercall(): number {
    return STATUS_FAULT
  }

  /** A tick an instruction, up to where the run was last entered. */
  timestamp(into: Words): void {
    const ticks = this.#vcpu?.retired ?? 0
    into.lo = ticks >>> 0
    into.hi = Math.floor(ticks / TWO_32)
  }

  /** Always the same: give it a source of your own. */
  random(into: Words): void {
    into.lo = 0
    into.hi = 0
  }

  /** Takes the highest pending maskable interrupt; returns its vector, or −1. */
  acknowledgeInterrupt(): number {
    return -1
  }

  /** Reads the local APIC’s task priority as CR8 has it. */
  readTaskPriority(): number {
    return 0
  }

  /** Writes the local APIC’s task priority as CR8 has it. */
  writeTaskPriority(_value: number): void {
    // There is no local APIC.
  }

  /** Notes that registers which control paging have changed. */
  controlChanged(): void {
    this.#vcpu?.registers.configurePaging(this.#paging)
  }

  /** Notes a PAUSE instruction. */
  pause(): void {
    // Nobody else waits for a turn.
  }

  /** Drops cached translations; `scope` is an `Invalidate` of `@retrap/paging`. */
  invalidate(scope: number, pcid: number): void {
    this.cache?.invalidate(scope, pcid)
  }
}

/**
 * Reads the page tables of a guest whose RAM is in machine memory.
 *
 * @param at - machine address of a guest-physical one; −1 where there is no RAM
 */
export function flatTables(memory: MachineMemory, at: (gpa: number) => number): TableReader {
  // Tables may be executed: what has been decoded of them is dropped.
  const changed = (ma: number): true => {
    memory.noteStore(ma, 1)
    return true
  }
  return {
    read32: (gpa, into) => {
      const ma = at(gpa)
      if (ma < 0) return false
      into[0] = memory.u32[ma >>> 2]!
      return true
    },
    read64: (gpa, into) => {
      const ma = at(gpa)
      if (ma < 0) return false
      memory.readEntry(ma, into)
      return true
    },
    compareExchange32: (gpa, expect, value) => memory.compareExchange32(at(gpa), expect, value) && changed(at(gpa)),
    compareExchange64: (gpa, expectLo, expectHi, lo, hi) =>
      memory.compareExchangeEntry(at(gpa), expectLo, expectHi, lo, hi) && changed(at(gpa)),
  }
}
