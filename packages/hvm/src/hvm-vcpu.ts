import {
  IOREQ_READ,
  IOREQ_TYPE_COPY,
  IOREQ_TYPE_PIO,
  IOREQ_WRITE,
  IO_DONE,
  IO_LOG,
  IO_RETRY,
  IO_UNHANDLED,
  createIoRequest,
} from '@retrap/ioreq'
import type { IoDispatch } from '@retrap/ioreq'
import type { LocalApic } from '@retrap/irqchip'
import {
  APIC_ICR,
  APIC_TPR,
  EVENT_EXTINT,
  EVENT_INIT,
  EVENT_INTERRUPT,
  EVENT_NMI,
  EVENT_SIPI,
  MSR_APIC_BASE,
  MSR_TSC_DEADLINE,
  MSR_X2APIC_FIRST,
  MSR_X2APIC_LAST,
} from '@retrap/irqchip'
import {
  ACCESS_FETCH,
  ACCESS_READ,
  ACCESS_WRITE,
  PagingContext,
  PagingMode,
  PagingStructureCache,
  WALK_OK,
  WALK_SECOND_LEVEL,
  WalkResult,
  probe,
  walk,
} from '@retrap/paging'
import { P2M_EXECUTE, P2M_READ, P2M_WRITE, P2mEntry, P2mType } from '@retrap/p2m'
import { LoggedTables } from '@retrap/replay'
import type { AccessLog } from '@retrap/replay'
import { VAPIC_PORT } from '@retrap/vapic'
import {
  STATUS_ASK,
  STATUS_DONE,
  STATUS_FAULT,
  STATUS_RESTART,
  STATUS_RETRY,
  S_CR0,
  S_CR3,
  S_CR4,
  S_EFER,
  S_PDPTE,
  Vcpu,
} from '@retrap/x86-cpu'
import type { CpuHost, CpuModel, Translation, Words, X86Engine } from '@retrap/x86-cpu'
import type { Domain } from './domain.ts'
import { GuestTables } from './guest-tables.ts'
import { SecondLevel } from './second-level.ts'
import type { VcpuVapic } from './vapic/vcpu-vapic.ts'

const PAGE_BYTES = 0x1000
const APIC_PAGE_BYTES = 0x1000
const TWO_32 = 0x1_0000_0000

/** Physical-address bits, as CPUID reports them. */
export const PHYSICAL_BITS = 40

/**
 * One vCPU of a domain: the CPU, its local APIC, and its way to memory and devices.
 */
export class HvmVcpu implements CpuHost {
  readonly id: number
  readonly cpu: Vcpu
  readonly apic: LocalApic
  readonly #domain: Domain
  readonly #dispatch: IoDispatch
  readonly #paging: PagingContext
  readonly #walk = new WalkResult()
  readonly #cache = new PagingStructureCache()
  readonly #tables: GuestTables
  /** For people: walks that change nothing. */
  readonly #peekTables: GuestTables
  readonly #loggedTables: LoggedTables
  readonly #request = createIoRequest()
  readonly #entry = new P2mEntry()
  /** The request in flight has not been answered. */
  #submitted = false
  /** Reports accesses to the task priority register, where there is a TPR patcher. */
  vapic: VcpuVapic | null = null
  /** Counts for statistics. */
  readonly counts = {
    portAccesses: 0,
    mmioAccesses: 0,
    apicAccesses: 0,
    taskPriorityAccesses: 0,
    msrAccesses: 0,
    walks: 0,
    tableReads: 0,
    hypercalls: 0,
  }

  constructor(domain: Domain, id: number, engine: X86Engine, model: CpuModel, apic: LocalApic) {
    this.id = id
    this.#domain = domain
    this.#dispatch = domain.dispatch
    this.apic = apic
    this.#paging = new PagingContext({ maxPhysicalBits: PHYSICAL_BITS, pages1G: true, pse36: true, amd: false })
    this.#tables = new GuestTables(domain.memory, domain.p2m, domain.secondLevel, id)
    this.#peekTables = new GuestTables(domain.memory, domain.p2m)
    this.cpu = new Vcpu(engine, this, model)
    this.#loggedTables = new LoggedTables(this.cpu.log, this.#tables)
  }

  // ---------------------------------------------------------------- memory

  translate(lo: number, hi: number, access: number, into: Translation, log: AccessLog | null): number {
    this.counts.walks++
    const result = this.#walk
    if (log !== null) log.beginWalk()
    // A logged pass reads every entry, so that the log has it.
    const status =
      log === null
        ? walk(this.#paging, this.#tables, lo, hi, access, result, this.#cache)
        : walk(this.#paging, this.#loggedTables, lo, hi, access, result)
    this.counts.tableReads += result.reads
    if (status === WALK_SECOND_LEVEL) return waiting(access, log)
    if (status !== WALK_OK) {
      // A page fault drops what is held of the address, in a logged pass too.
      this.#cache.drop(lo, hi, this.#paging.mode, this.#paging.pcid)
      into.errorCode = result.pfec
      return STATUS_FAULT
    }
    const gpa = result.gpa
    into.gpa = gpa
    into.global = (result.flags & GLOBAL_FLAG) !== 0
    into.pageBytes = result.pageBytes
    into.cacheable = true
    if (this.#isApicPage(gpa)) {
      into.ma = -1
      into.writable = false
      return STATUS_DONE
    }
    const p2m = this.#domain.p2m
    const write = (access & ACCESS_WRITE) !== 0
    const fetch = (access & ACCESS_FETCH) !== 0
    into.ma = fetch ? p2m.translateExecute(gpa) : p2m.translate(gpa)
    into.writable = write && into.ma >= 0 && p2m.translateWrite(gpa) >= 0
    if (into.ma >= 0 && (into.writable || !write)) return STATUS_DONE
    // The frame is not what the access needs: the second-level fault.
    const wanted = fetch ? P2M_EXECUTE : write ? P2M_WRITE : P2M_READ
    switch (this.#domain.secondLevel.fault(this.id, gpa, wanted)) {
      case SecondLevel.RESOLVED:
        into.ma = p2m.translate(gpa)
        into.writable = write && p2m.translateWrite(gpa) >= 0
        return this.#domain.invalidations.flagged(this.id) ? this.#leaveSoon(access, log) : STATUS_DONE
      case SecondLevel.WAIT:
        return waiting(access, log)
      case SecondLevel.DEVICE:
        into.ma = -1
        return STATUS_DONE
      default:
        return STATUS_DONE
    }
  }

  /**
   * The access has taken RAM from the map, and the vCPU is to send a notice before its next instruction: this one goes on
   * alone, in a logged pass. One that is being fetched waits for the notice as well.
   */
  #leaveSoon(access: number, log: AccessLog | null): number {
    if (log !== null) return STATUS_DONE
    if ((access & ACCESS_FETCH) !== 0) this.#domain.wake()
    return waiting(access, log)
  }

  ramAddress(gpa: number): number {
    return this.#isApicPage(gpa) ? -1 : this.#domain.secondLevel.translateWrite(gpa, this.id)
  }

  #isApicPage(gpa: number): boolean {
    return this.apic.decodes(gpa)
  }

  physicalRead(gpa: number, size: number, into: Words, logged: boolean, mayWait: boolean): number {
    if (this.#submitted) return this.#answer(into)
    if (this.vapic !== null && this.vapic.watches(gpa)) {
      if (!logged) return STATUS_RESTART
      this.vapic.accessed('read', gpa)
    }
    if (this.apic.decodes(gpa)) return this.#readApic(gpa & (APIC_PAGE_BYTES - 1), size, into)
    // The read of a read-modify-write, which is always logged: only writes are claimed.
    if (logged && this.#domain.secondLevel.claimant(gpa) !== null) return this.#readRam(gpa, size, into)
    this.counts.mmioAccesses++
    const dispatch = this.#dispatch
    let status: number
    if (mayWait) {
      status = dispatch.mmioReadOrSend(this.id, gpa, size)
      this.#submitted = status === IO_RETRY
    } else if (logged) status = this.#ask(IOREQ_TYPE_COPY, IOREQ_READ, gpa, size, 0, 0)
    else status = dispatch.mmioRead(gpa, size)
    into.lo = dispatch.lo
    into.hi = dispatch.hi
    return this.#statusOf(status)
  }

  physicalWrite(gpa: number, size: number, lo: number, hi: number, logged: boolean, mayWait: boolean): number {
    if (this.#submitted) return this.#answer(null)
    if (this.vapic?.watches(gpa) === true) {
      if (!logged) return STATUS_RESTART
      this.vapic.accessed('write', gpa)
    }
    if (this.#isApicPage(gpa)) {
      // The processor sees what the write raises before its next instruction, so this one must run alone.
      if (!logged && (this.cpu.interruptsEnabled || (gpa & (APIC_PAGE_BYTES - 1)) === APIC_ICR)) return STATUS_RESTART
      this.#countApicAccess(gpa & (APIC_PAGE_BYTES - 1))
      writeApicPage(this.apic, gpa & (APIC_PAGE_BYTES - 1), size, lo)
      return STATUS_DONE
    }
    this.counts.mmioAccesses++
    if (!logged && this.#domain.secondLevel.claimant(gpa) !== null) return STATUS_RESTART
    if (logged) return this.#statusOf(this.#submit(IOREQ_TYPE_COPY, IOREQ_WRITE, gpa, size, lo, hi))
    const status = this.#dispatch.mmioWrite(gpa, size, lo, hi)
    // Nobody claims it: the server is the one whose range it is.
    return this.#statusOf(
      status === IO_LOG && mayWait ? this.#ask(IOREQ_TYPE_COPY, IOREQ_WRITE, gpa, size, lo, hi) : status,
    )
  }

  #readApic(offset: number, size: number, into: Words): number {
    this.#countApicAccess(offset)
    readApicPage(this.apic, offset, size, into)
    return STATUS_DONE
  }

  #readRam(gpa: number, size: number, into: Words): number {
    const { u8 } = this.#domain.memory
    const ma = this.#domain.p2m.translate(gpa)
    let lo = 0
    let hi = 0
    for (let i = 0; i < size; i++) {
      const byte = u8[ma + i] as number
      if (i < 4) lo |= byte << (8 * i)
      else hi |= byte << (8 * (i - 4))
    }
    into.lo = lo >>> 0
    into.hi = hi >>> 0
    return STATUS_DONE
  }

  #countApicAccess(offset: number): void {
    this.counts.apicAccesses++
    if (offset === APIC_TPR) this.counts.taskPriorityAccesses++
  }

  romWrite(gpa: number, size: number, lo: number, hi: number): void {
    // Others' frames, and what is no ROM any more, lose the store: no device hears of it.
    const type = this.#domain.p2m.lookup(Math.floor(gpa / PAGE_BYTES), this.#entry)
    if (type === P2mType.RAM_RO) this.#domain.romWrite(gpa, size, lo, hi)
  }

  portRead(port: number, size: number, into: Words, logged: boolean, mayWait: boolean): number {
    if (this.#submitted) return this.#answer(into)
    this.counts.portAccesses++
    const dispatch = this.#dispatch
    let status = logged ? IO_LOG : dispatch.portRead(port, size)
    if (status === IO_LOG && (logged || mayWait)) status = this.#ask(IOREQ_TYPE_PIO, IOREQ_READ, port, size, 0, 0)
    into.lo = dispatch.lo
    into.hi = 0
    return this.#statusOf(status)
  }

  portWrite(port: number, size: number, value: number, logged: boolean, mayWait: boolean): number {
    if (this.#submitted) return this.#answer(null)
    if (port === VAPIC_PORT && this.vapic !== null) return this.vapic.portWrite(size, value, logged)
    this.counts.portAccesses++
    let status = logged ? IO_LOG : this.#dispatch.portWrite(port, size, value)
    if (status === IO_LOG && (logged || mayWait)) status = this.#ask(IOREQ_TYPE_PIO, IOREQ_WRITE, port, size, value, 0)
    return this.#statusOf(status)
  }

  repeat(
    port: boolean,
    write: boolean,
    address: number,
    size: number,
    count: number,
    down: boolean,
    gpa: number,
    into: Words,
  ): number {
    const dispatch = this.#dispatch
    if (this.#submitted) {
      const status = this.#answer(null)
      if (status !== STATUS_RETRY) this.counts[port ? 'portAccesses' : 'mmioAccesses'] += dispatch.count
      into.lo = dispatch.count
      return status
    }
    if (!port && (this.#isApicPage(address) || this.#domain.secondLevel.claimant(address) !== null)) {
      into.lo = 0
      return STATUS_DONE
    }
    const direction = write ? IOREQ_WRITE : IOREQ_READ
    const type = port ? IOREQ_TYPE_PIO : IOREQ_TYPE_COPY
    const fill = gpa < 0
    const lo = fill ? into.lo : gpa >>> 0
    const hi = fill ? into.hi : Math.floor(gpa / TWO_32)
    const status = this.#submit(type, direction, address, size, lo, hi, count, down, !fill)
    if (status !== IO_RETRY) this.counts[port ? 'portAccesses' : 'mmioAccesses'] += dispatch.count
    into.lo = dispatch.count
    return this.#statusOf(status)
  }

  /**
   * What a pass finds of the request in flight. It is this access's, whatever the p2m says of the address by now: a vCPU has
   * one, and the log has seen to it that the access is the same.
   */
  #answer(into: Words | null): number {
    const dispatch = this.#dispatch
    const status = dispatch.takeResponse(this.id)
    if (status === IO_RETRY) return STATUS_RETRY
    this.#submitted = false
    if (into !== null) {
      into.lo = dispatch.lo
      into.hi = dispatch.hi
    }
    return status === IO_DONE ? STATUS_DONE : this.#statusOf(status)
  }

  /** Sends the request for one element. */
  #ask(type: number, direction: number, address: number, size: number, lo: number, hi: number): number {
    const status = this.#dispatch.submitOne(this.id, type, direction, address, size, lo, hi)
    this.#submitted = status === IO_RETRY
    return status
  }

  /** Sends a request; with `pointer`, `hi:lo` is where in RAM the elements are. */
  #submit(
    type: number,
    direction: number,
    address: number,
    size: number,
    lo: number,
    hi: number,
    count = 1,
    down = false,
    pointer = false,
  ): number {
    const request = this.#request
    request.type = type
    request.direction = direction
    request.addressLo = address >>> 0
    request.addressHi = Math.floor(address / TWO_32)
    request.dataLo = lo >>> 0
    request.dataHi = hi >>> 0
    request.size = size
    request.count = count
    request.df = down
    request.dataIsPointer = pointer
    const claimant =
      type === IOREQ_TYPE_COPY && direction === IOREQ_WRITE ? this.#domain.secondLevel.claimant(address) : null
    const status = this.#dispatch.submit(this.id, request, claimant)
    this.#submitted = status === IO_RETRY
    return status
  }

  #statusOf(status: number): number {
    switch (status) {
      case IO_DONE:
      case IO_UNHANDLED:
        return STATUS_DONE
      case IO_RETRY:
        return STATUS_RETRY
      case IO_LOG:
        return STATUS_ASK
      default:
        // The device broke its contract and the domain is to stop; until it does, the access reads as ones.
        this.cpu.stop()
        return STATUS_DONE
    }
  }

  /** Guest-physical address that a linear one maps to now, for a supervisor; sets no A bits. −1: it is not mapped. */
  linearToPhysical(lo: number, hi: number): number {
    const status = probe(this.#paging, this.#peekTables, lo, hi, ACCESS_READ, this.#walk)
    return status === WALK_OK ? this.#walk.gpa : -1
  }

  /** Bytes at a linear address as the guest would fetch them, for people: sets no A bits; shorter where nothing is mapped. */
  peekCode(linear: bigint, length: number): Uint8Array {
    const bytes: number[] = []
    for (let i = 0; i < length; i++) {
      const at = BigInt.asUintN(64, linear + BigInt(i))
      const lo = Number(at & 0xffff_ffffn)
      const status = probe(this.#paging, this.#peekTables, lo, Number(at >> 32n), ACCESS_FETCH, this.#walk)
      const ma = status === WALK_OK ? this.#domain.p2m.translate(this.#walk.gpa) : -1
      if (ma < 0) break
      bytes.push(this.#domain.memory.u8[ma] as number)
    }
    return Uint8Array.from(bytes)
  }

  // ---------------------------------------------------------------- registers

  readMsr(index: number, into: Words): number {
    this.counts.msrAccesses++
    const apic = this.apic
    if (index === MSR_APIC_BASE) {
      into.lo = apic.apicBaseLo
      into.hi = apic.apicBaseHi
      return STATUS_DONE
    }
    if (index === MSR_TSC_DEADLINE) {
      into.lo = apic.tscDeadlineLo
      into.hi = apic.tscDeadlineHi
      return STATUS_DONE
    }
    if (index >= MSR_X2APIC_FIRST && index <= MSR_X2APIC_LAST) {
      return apic.readMsr(index, into) ? STATUS_DONE : STATUS_FAULT
    }
    return this.#domain.paravirtual?.readMsr(this.id, index, into) ?? STATUS_FAULT
  }

  writeMsr(index: number, lo: number, hi: number): number {
    this.counts.msrAccesses++
    const apic = this.apic
    if (index === MSR_APIC_BASE) {
      if (!apic.setApicBase(lo, hi)) return STATUS_FAULT
      this.cpu.flushTlb(true)
      return STATUS_DONE
    }
    if (index === MSR_TSC_DEADLINE) {
      apic.setTscDeadline(lo, hi)
      return STATUS_DONE
    }
    if (index >= MSR_X2APIC_FIRST && index <= MSR_X2APIC_LAST) {
      return apic.writeMsr(index, lo, hi) ? STATUS_DONE : STATUS_FAULT
    }
    return this.#domain.paravirtual?.writeMsr(this.id, index, lo, hi) ?? STATUS_FAULT
  }

  cpuid(leaf: number, subleaf: number, into: Uint32Array): void {
    if (this.#domain.paravirtual?.cpuid(this.id, leaf, subleaf, into) === true) return
    const id = this.apic.apicId
    const count = this.#domain.vcpus.length
    if (leaf === 1) {
      into[1] = ((into[1] as number) & 0xff00) | (Math.min(count, 255) << 16) | ((id & 0xff) << 24)
      // HTT: more than one logical processor shares the package.
      if (count > 1) into[3]! |= 1 << 28
      if (!this.apic.present) into[3]! &= ~(1 << 9)
    } else if (leaf === 4 && (into[0] as number) !== 0) {
      into[0]! |= (Math.min(count, 64) - 1) << 26
    } else if (leaf === 0xb) {
      if (subleaf === 1) {
        const shift = Math.ceil(Math.log2(Math.max(count, 2)))
        into[0] = shift
        into[1] = count
      }
      into[3] = id
    }
  }

  hypercall(): number {
    this.counts.hypercalls++
    if (this.vapic?.hypercall() === true) return STATUS_DONE
    const { paravirtual, invalidations } = this.#domain
    if (paravirtual === null) return STATUS_FAULT
    // What it takes from the map is this vCPU's doing: before its next instruction all device models have let go of it.
    const before = invalidations.enter(this.id)
    try {
      return paravirtual.hypercall(this.id)
    } finally {
      invalidations.leave(before)
    }
  }

  /**
   * Guest-physical address of a linear one, for the hypervisor's copies of what a hypercall's arguments point to. Walks
   * the tables afresh, and sets A and D bits.
   *
   * @param access - `ACCESS_*` of `@retrap/paging`
   * @returns −1 where the access is not allowed or would reach the local APIC
   */
  guestPhysical(lo: number, hi: number, access: number): number {
    const { mode } = this.#paging
    if (mode >= PagingMode.FOUR_LEVEL) {
      const shift = mode === PagingMode.FOUR_LEVEL ? 16 : 7
      if ((hi << shift) >> shift !== (hi | 0)) return -1
    }
    if (walk(this.#paging, this.#tables, lo, hi, access, this.#walk) !== WALK_OK) return -1
    const { gpa } = this.#walk
    return this.#isApicPage(gpa) ? -1 : gpa
  }

  timestamp(into: Words): void {
    // The TSC counts nanoseconds.
    this.#domain.clock.read(into)
  }

  timeStampMoved(): void {
    this.apic.tscChanged()
    this.#domain.paravirtual?.timeMoved()
  }

  random(into: Words): void {
    into.lo = this.#domain.random()
    into.hi = this.#domain.random()
  }

  acknowledgeInterrupt(): number {
    const callback = this.#domain.paravirtual?.pendingVector(this.id) ?? 0
    if (callback !== 0) return callback
    // A guest that keeps its task priority in its own memory has raised it since, or seen to its events.
    if ((this.apic.record !== null || this.#domain.paravirtual !== null) && !this.apic.hasInterrupt()) {
      this.updateEvents()
      return -1
    }
    const vector = this.apic.acknowledge()
    this.updateEvents()
    return vector
  }

  readTaskPriority(): number {
    return this.apic.cr8
  }

  writeTaskPriority(value: number): void {
    this.apic.cr8 = value
    this.updateEvents()
  }

  controlChanged(): void {
    const { u32 } = this.cpu
    const at = (offset: number): number => u32[offset >>> 2] as number
    this.#paging.configure(at(S_CR0), at(S_CR3), at(S_CR3 + 4), at(S_CR4), at(S_EFER))
    for (let i = 0; i < 8; i++) this.#paging.pdptes[i] = at(S_PDPTE + 4 * i)
  }

  invalidate(scope: number, pcid: number): void {
    this.#cache.invalidate(scope, pcid)
  }

  pause(): void {
    if (this.#domain.contended) this.cpu.notePause()
  }

  // ---------------------------------------------------------------- events

  /** It has nothing to do until something happens: halted, or waiting in a hypercall. */
  get dormant(): boolean {
    return this.cpu.dormant || this.#domain.paravirtual?.blocks(this.id) === true
  }

  /** The local APIC has something for this vCPU, or no longer has. */
  updateEvents(): void {
    this.#domain.paravirtual?.eventsChanged(this.id)
    const events = this.apic.events()
    if ((events & EVENT_INIT) !== 0 && this.apic.takeInit()) {
      this.cancelRequest()
      this.cpu.init()
      this.#domain.paravirtual?.apicReset(this.id)
    }
    if ((events & EVENT_SIPI) !== 0) {
      const vector = this.apic.takeSipi()
      if (vector >= 0) {
        this.cpu.startup(vector)
        this.#domain.paravirtual?.started(this.id)
      }
    }
    if ((events & EVENT_NMI) !== 0 && this.apic.takeNmi()) this.cpu.nmi()
    const callback = this.#domain.paravirtual?.pendingVector(this.id) ?? 0
    this.cpu.setInterruptPending((events & (EVENT_INTERRUPT | EVENT_EXTINT)) !== 0 || callback !== 0)
  }

  numericError(): void {
    this.#domain.numericError()
  }

  cancelled(): void {
    this.cancelRequest()
  }

  /** Forgets the request in flight: its answer will be drained and dropped. */
  cancelRequest(): void {
    this.#domain.secondLevel.cancel(this.id)
    if (!this.#submitted) return
    this.#dispatch.cancel(this.id)
    this.#submitted = false
  }
}

/**
 * The status of an access that waits for somebody who is no device. Outside a logged pass it starts again in one; the bytes
 * of an instruction are fetched before there is one.
 */
function waiting(access: number, log: AccessLog | null): number {
  return log === null && (access & ACCESS_FETCH) === 0 ? STATUS_RESTART : STATUS_RETRY
}

/** MAP_GLOBAL of `@retrap/paging`'s results. */
const GLOBAL_FLAG = 0x100

/** APIC registers are 32 bits at multiples of 16; other accesses see parts of them (SDM vol. 3A, "Local APIC Registers"). */
function readApicPage(apic: LocalApic, offset: number, size: number, into: Words): void {
  const value = apic.read(offset & ~0xf) >>> 0
  const shift = (offset & 0xf) * 8
  into.hi = 0
  if (shift >= 32) {
    into.lo = 0
    return
  }
  const part = value >>> shift
  into.lo = size === 1 ? part & 0xff : size === 2 ? part & 0xffff : part
}

function writeApicPage(apic: LocalApic, offset: number, size: number, lo: number): void {
  // Only aligned 32-bit stores are architectural; a narrower one is dropped.
  if ((offset & 0xf) === 0 && size >= 4) apic.write(offset, lo >>> 0)
}
