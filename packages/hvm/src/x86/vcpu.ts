import { PAGE_BYTES } from '@retrap/memory'
import { type AccessRecord, type IoDispatch, IOREQ_TYPE_COPY, IOREQ_TYPE_PIO, IOREQ_WRITE } from '@retrap/ioreq'
import {
  EVENT_EXTINT,
  EVENT_INIT,
  EVENT_INTERRUPT,
  EVENT_NMI,
  EVENT_SIPI,
  EVENT_SMI,
  type LocalApic,
  MSR_APIC_BASE,
} from '@retrap/irqchip'
import { P2mEntry, P2mType } from '@retrap/p2m'
import {
  STATUS_DONE,
  STATUS_ERROR,
  STATUS_FAULT,
  STATUS_RESTART,
  STATUS_RETRY,
  STATUS_UNHANDLED,
  type AccessLog,
} from '@retrap/replay'
import { type TprAccess, VAPIC_PORT } from '@retrap/vapic'
import {
  type CpuClocks,
  type CpuHost,
  type RegisterPage,
  type Translation,
  Vcpu,
  type Words,
  type X86Engine,
} from '@retrap/x86-cpu'
import type { Domain } from '../domain.ts'
import type { VirtualCpu } from '../virtual-cpu.ts'
import { GuestTranslation } from './guest-translation.ts'
import {
  describeApicPage,
  describeTopology,
  readApicMsr,
  readApicPage,
  writeApicMsr,
  writeApicPage,
} from './local-apic.ts'
import type { SystemManagementMemory, TprWatch, X86Surroundings } from './surroundings.ts'

/** CPUID leaf 1, ECX: MONITOR and MWAIT. */
const CPUID_MONITOR = 1 << 3

/** The thread in which a vCPU runs, as the domain's thread notifies it. */
export interface RunningThread extends Pick<Vcpu, 'smi'> {
  /** The local APIC may have events. */
  kick(): void
  /** Has all vCPUs of the domain park, between two instructions. */
  park(): void
  /** The next writes to some machine frames are to be noticed. */
  watchWrites(frames: Uint32Array, count: number): void
}

/**
 * One x86 vCPU of a domain: the processor, its local APIC, and its access to memory and devices.
 */
export class X86Vcpu implements CpuHost, VirtualCpu {
  /** Number in the domain. */
  readonly id: number
  /** The access that a device takes its time for. */
  readonly record: AccessRecord
  /** The processor. */
  readonly cpu: Vcpu
  /** Local APIC. */
  readonly apic: LocalApic
  /** Translates linear addresses for debuggers and the hypervisor. */
  readonly translation: GuestTranslation
  readonly #world: X86Surroundings
  readonly #domain: Domain
  readonly #dispatch: IoDispatch
  /** Number of frames whose writes a server claims: each write to a device looks at it. */
  readonly #claimedFrames: Uint32Array
  readonly #entry = new P2mEntry()
  /** Whether address line 20 is held low, outside system-management mode. */
  #a20Masked = false
  /** The thread in which the vCPU runs; null: it takes turns on the domain's thread. */
  thread: RunningThread | null = null
  /** Receives accesses to the task priority register, if the domain has a TPR patcher. */
  vapic: TprWatch | null = null
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

  constructor(world: X86Surroundings, id: number, engine: X86Engine, clocks: CpuClocks, apic: LocalApic) {
    const { domain } = world
    this.id = id
    this.#world = world
    this.#domain = domain
    this.#dispatch = domain.dispatch
    this.#claimedFrames = domain.p2m.writeClaim.counter
    this.apic = apic
    this.record = domain.dispatch.requests.record(id)
    this.cpu = new Vcpu(engine, this, clocks)
    this.cpu.bootstrap = id === 0
    this.translation = new GuestTranslation(id, domain, engine.processor.paging, apic, this.cpu.log, this.counts)
  }

  // ---------------------------------------------------------------- memory

  /** Translates a linear address on a TLB miss. */
  translate(lo: number, hi: number, access: number, into: Translation, log: AccessLog | null): number {
    return this.translation.translate(lo, hi, access, into, log)
  }

  /** Machine address of RAM that is about to be written; −1: not RAM. */
  ramAddress(gpa: number): number {
    if (this.apic.decodes(gpa)) return -1
    const managed = this.#managedMemory()?.machineAddress(gpa) ?? -1
    return managed >= 0 ? managed : this.#domain.secondLevel.translateWrite(gpa, this.id)
  }

  /** Returns the machine address of RAM, for reads without side effects; −1: none. */
  peekAddress(gpa: number): number {
    const managed = this.#managedMemory()?.machineAddress(gpa) ?? -1
    return managed >= 0 ? managed : this.#domain.p2m.translate(gpa)
  }

  /** Translates the guest-physical address of an access of the processor itself. */
  translatePhysical(gpa: number, access: number, into: Translation, log: AccessLog | null): number {
    // The delivery of an SMI comes here first.
    this.#seeMode()
    return this.translation.locate(gpa, access, into, log)
  }

  /** SMRAM is seen in system-management mode, and line 20 works there: a handler may lie in an odd MiB. */
  #seeMode(): void {
    this.translation.setBus(this.#managedMemory(), this.#a20Masked && !this.cpu.inSystemManagement)
  }

  /** Returns system-management memory while the processor can access it, otherwise null. */
  #managedMemory(): SystemManagementMemory | null {
    return this.cpu.inSystemManagement ? this.#world.systemManagementMemory : null
  }

  /** Reads outside plain RAM: from the local APIC or a device. */
  physicalRead(gpa: number, size: number, into: Words, logged: boolean): number {
    if (this.vapic !== null && this.#mustLog(this.vapic, 'read', gpa, logged)) return STATUS_RESTART
    return this.apic.decodes(gpa)
      ? readApicPage(this.apic, this.counts, gpa, size, into)
      : this.#readDevice(gpa, size, into, logged)
  }

  /** Describes the local APIC's page, in which most registers are words in machine memory. */
  registerPage(gpa: number, into: RegisterPage): boolean {
    return describeApicPage(this.apic, gpa, into)
  }

  /** Whether an access must start again in a logged pass, for the TPR patcher; one in such a pass is reported. */
  #mustLog(vapic: TprWatch, access: TprAccess, gpa: number, logged: boolean): boolean {
    if (!vapic.watches(gpa)) return false
    if (!logged) return true
    vapic.accessed(access, gpa)
    return false
  }

  /** Reads from a device's memory. */
  #readDevice(gpa: number, size: number, into: Words, logged: boolean): number {
    // The read of a read-modify-write, which is always logged: only writes are claimed.
    if (logged && this.#domain.secondLevel.readsRam(gpa)) return readRam(this.#domain, gpa, size, into)
    this.counts.mmioAccesses++
    const dispatch = this.#dispatch
    const status = dispatch.mmioReadOrSend(this.id, gpa, size)
    // The answer to a request goes to the record by itself, perhaps before the vCPU may take it.
    if (status === STATUS_RETRY) return status
    into.lo = dispatch.lo
    into.hi = dispatch.hi
    return status < STATUS_ERROR ? status : this.#unanswered(status)
  }

  /** Writes outside plain RAM: to the local APIC or a device. */
  physicalWrite(gpa: number, size: number, lo: number, hi: number, logged: boolean): number {
    if (this.vapic !== null && this.#mustLog(this.vapic, 'write', gpa, logged)) return STATUS_RESTART
    return this.apic.decodes(gpa)
      ? writeApicPage(this.apic, this.counts, gpa, size, lo)
      : this.#writeDevice(gpa, size, lo, hi, logged)
  }

  /** Writes to a device's memory. */
  #writeDevice(gpa: number, size: number, lo: number, hi: number, logged: boolean): number {
    this.counts.mmioAccesses++
    const claimant = this.#claimedFrames[0] === 0 ? null : this.#domain.secondLevel.claimant(gpa)
    if (claimant !== null) {
      if (!logged) return STATUS_RESTART
      this.record.describe(IOREQ_TYPE_COPY, IOREQ_WRITE, gpa, size, lo, hi)
    }
    const status =
      claimant === null
        ? this.#dispatch.mmioWriteOrSend(this.id, gpa, size, lo, hi)
        : this.#dispatch.submit(this.id, this.record, claimant)
    return status < STATUS_ERROR ? status : this.#unanswered(status)
  }

  /** An access ends without an answer, and reads as ones. @param status - of the dispatcher */
  #unanswered(status: number): number {
    // The device broke its contract and the domain is to stop.
    if (status === STATUS_ERROR) this.cpu.stop()
    return STATUS_DONE
  }

  /**
   * Takes the answer to the request in flight, if it is there. It belongs to the present access, whatever the p2m says of the
   * address by now: the log has seen to it that the access is the same.
   */
  answer(): number {
    const status = this.record.take()
    return status < STATUS_ERROR ? status : this.#unanswered(status)
  }

  /** Takes a write to ROM. */
  romWrite(gpa: number, size: number, lo: number, hi: number): void {
    // Stores to foreign frames and former ROM are dropped without notice to a device.
    const type = this.#domain.p2m.lookup(Math.floor(gpa / PAGE_BYTES), this.#entry)
    if (type === P2mType.RAM_RO) this.#world.romWrite(gpa, size, lo, hi)
  }

  /** Reads from a port. */
  portRead(port: number, size: number, into: Words, _logged: boolean): number {
    this.counts.portAccesses++
    const dispatch = this.#dispatch
    const status = dispatch.portReadOrSend(this.id, port, size)
    if (status === STATUS_RETRY) return status
    into.lo = dispatch.lo
    into.hi = 0
    return status < STATUS_ERROR ? status : this.#unanswered(status)
  }

  /** Writes to a port. */
  portWrite(port: number, size: number, value: number, logged: boolean): number {
    if (port === VAPIC_PORT && this.vapic !== null) return this.vapic.portWrite(size, value, logged)
    this.counts.portAccesses++
    const status = this.#dispatch.portWriteOrSend(this.id, port, size, value)
    return status < STATUS_ERROR ? status : this.#unanswered(status)
  }

  /** Makes several elements of a repeated string instruction as one request, which the record describes. */
  repeat(): number {
    const { record } = this
    const port = record.type === IOREQ_TYPE_PIO
    const { address } = record
    const claimant = port ? null : this.#domain.secondLevel.claimant(address)
    if (claimant !== null || (!port && this.apic.decodes(address))) {
      record.made = 0
      return STATUS_DONE
    }
    const status = this.#dispatch.submit(this.id, record)
    const { count } = this.#dispatch
    this.counts[port ? 'portAccesses' : 'mmioAccesses'] += count
    if (status !== STATUS_RETRY) record.made = count
    return status < STATUS_ERROR ? status : this.#unanswered(status)
  }

  /** Whether a device answers accesses to these bytes at once, none of which anything else wants to see. */
  answersAtOnce(port: boolean, address: number, bytes: number, size: number): boolean {
    if (port) return this.#dispatch.portAnswersAtOnce(address, size)
    if (this.vapic?.watches(address) === true || this.apic.decodes(address)) return false
    if (this.#domain.secondLevel.claimant(address) !== null) return false
    return this.#dispatch.answersAtOnce(address, bytes, size)
  }

  // ---------------------------------------------------------------- registers

  /** Reads an MSR that the processor itself does not have. */
  readMsr(index: number, into: Words): number {
    this.counts.msrAccesses++
    const status = readApicMsr(this.apic, index, into)
    if (status !== STATUS_UNHANDLED) return status
    return this.#world.paravirtual?.readMsr(this.id, index, into) ?? STATUS_FAULT
  }

  /** Writes an MSR that the processor itself does not have. */
  writeMsr(index: number, lo: number, hi: number): number {
    this.counts.msrAccesses++
    const status = writeApicMsr(this.apic, index, lo, hi)
    // The APIC's page may have moved.
    if (index === MSR_APIC_BASE && status === STATUS_DONE) this.cpu.flushTlb(true)
    if (status !== STATUS_UNHANDLED) return status
    return this.#world.paravirtual?.writeMsr(this.id, index, lo, hi) ?? STATUS_FAULT
  }

  /** Adds the domain's fields to a CPUID leaf. */
  cpuid(leaf: number, subleaf: number, into: Uint32Array): void {
    if (this.#world.paravirtual?.cpuid(this.id, leaf, subleaf, into) === true) return
    describeTopology(this.cpu.processor, this.apic, this.#world.cpus, leaf, subleaf, into)
    // The line of MONITOR would be written unseen by other threads.
    if (this.#world.threads === undefined) return
    if (leaf === 1) into[2]! &= ~CPUID_MONITOR
    else if (leaf === 5) into.fill(0)
  }

  /** Makes a hypercall: VMCALL or VMMCALL. */
  hypercall(): number {
    this.counts.hypercalls++
    if (this.vapic?.hypercall() === true) return STATUS_DONE
    const { paravirtual } = this.#world
    if (paravirtual === null) return STATUS_FAULT
    // Frames removed by this call count as this vCPU's change: all device models release them before its next
    // instruction.
    const { invalidations } = this.#domain
    const before = invalidations.enter(this.id)
    try {
      return paravirtual.hypercall(this.id)
    } finally {
      invalidations.leave(before)
    }
  }

  /** Reads the clock that the time-stamp counter counts. */
  timestamp(into: Words): void {
    // The TSC counts nanoseconds.
    this.#domain.clock.read(into)
  }

  /** The guest has moved its time-stamp counter. */
  timeStampMoved(): void {
    this.apic.tscChanged()
    this.#world.paravirtual?.timeMoved()
  }

  /** Draws 64 random bits. */
  random(into: Words): void {
    into.lo = this.#world.random()
    into.hi = this.#world.random()
  }

  /** Takes the interrupt to deliver. @returns its vector, or −1 if it was withdrawn */
  acknowledgeInterrupt(): number {
    const { apic } = this
    const { paravirtual } = this.#world
    const callback = paravirtual?.pendingVector(this.id) ?? 0
    if (callback !== 0) return callback
    // A guest with its task priority in its own memory may have raised it since, or have handled its events.
    const isGone = (apic.record !== null || paravirtual !== null) && !apic.hasInterrupt()
    const vector = isGone ? -1 : apic.acknowledge()
    this.updateEvents()
    return vector
  }

  /** Reads CR8. */
  readTaskPriority(): number {
    return this.apic.cr8
  }

  /** Writes CR8. */
  writeTaskPriority(value: number): void {
    this.apic.cr8 = value
    this.updateEvents()
  }

  /** Takes changed control registers over for walks. */
  controlChanged(): void {
    this.#seeMode()
    this.translation.configure(this.cpu.registers)
  }

  /** Drops cached table entries: INVLPG and its like. */
  invalidate(scope: number, pcid: number): void {
    this.translation.cache.invalidate(scope, pcid)
  }

  /** The line that MWAIT waits for has been written: the vCPU is to have its turn. */
  monitorTriggered(): void {
    this.#domain.wake()
  }

  /** PAUSE: ends the turn early if another vCPU can run, and for the event loop. */
  pause(): void {
    if (this.#domain.endsAtPause()) this.cpu.notePause()
  }

  // ---------------------------------------------------------------- events

  /** The vCPU has nothing to do until something happens: halted, or waiting in a hypercall. */
  get dormant(): boolean {
    return this.cpu.dormant || this.#world.paravirtual?.blocks(this.id) === true
  }

  /** Hands the local APIC's events over to the processor; to be called when they may have changed. */
  updateEvents(): void {
    if (this.thread !== null) {
      this.thread.kick()
      return
    }
    const { apic, cpu } = this
    const { paravirtual } = this.#world
    paravirtual?.eventsChanged(this.id)
    const events = apic.events()
    // INIT waits for RSM; a start-up IPI does not, and is lost.
    const managed = cpu.inSystemManagement
    if ((events & EVENT_INIT) !== 0 && !managed && apic.takeInit()) {
      this.cancelRequest()
      cpu.init()
      paravirtual?.apicReset(this.id)
    }
    if ((events & EVENT_SIPI) !== 0) {
      const vector = apic.takeSipi()
      if (vector >= 0 && !managed) {
        cpu.startup(vector)
        paravirtual?.started(this.id)
      }
    }
    if ((events & EVENT_SMI) !== 0 && apic.takeSmi()) cpu.smi()
    if ((events & EVENT_NMI) !== 0 && apic.takeNmi()) cpu.nmi()
    const callback = paravirtual?.pendingVector(this.id) ?? 0
    cpu.setInterruptPending((events & (EVENT_INTERRUPT | EVENT_EXTINT)) !== 0 || callback !== 0)
  }

  /** Asserts SMI#, as a chipset does. */
  smi(): void {
    ;(this.thread ?? this.cpu).smi()
    this.#domain.wake()
  }

  /** Takes an INIT that has waited for RSM. */
  systemManagementLeft(): void {
    this.updateEvents()
  }

  /** Whether it may execute in a thread of its own: nothing but memory, devices and interrupts is in its world. */
  get mayHaveThread(): boolean {
    const { cpu } = this
    // System-management mode is for the domain's thread. An SMI waits for a start-up IPI with its vCPU.
    if (cpu.inSystemManagement || (cpu.smiPending && !cpu.waitsForStartup)) return false
    return !this.#a20Masked && this.vapic === null && this.#world.paravirtual === null && cpu.watching === null
  }

  /** Power-on. */
  reset(): void {
    this.cpu.reset()
    // Models were reset before; a line asserted since then causes no new notice.
    this.updateEvents()
  }

  /** Drops cached translations after a change of the guest's map. */
  mapChanged(from?: number, to?: number): void {
    this.thread?.park()
    this.cpu.mapChanged(from, to)
  }

  /** Enables address line 20, or holds it low. */
  setA20(works: boolean): void {
    this.#a20Masked = !works
    this.controlChanged()
    this.mapChanged()
  }

  /** Drops its write translations of some machine frames. */
  watchWrites(frames: Uint32Array, count: number): void {
    if (this.thread === null) this.cpu.watchWrites(frames, count)
    else this.thread.watchWrites(frames, count)
  }

  /** The vCPU has come back from a turn: the TPR patcher is notified of its accesses. */
  turnEnded(): void {
    this.vapic?.settle()
  }

  /** Asserts FERR#. */
  numericError(): void {
    this.#world.numericError(this.id)
  }

  /** Called when the processor has dropped the instruction in progress, with its request. */
  cancelled(): void {
    this.cancelRequest()
  }

  /** Drops the request in flight: its response will be discarded. */
  cancelRequest(): void {
    this.#domain.secondLevel.cancel(this.id)
    this.#dispatch.requests.cancel(this.id)
  }
}

/** Reads up to 8 bytes of RAM that the map has in one frame, where the processor takes it for a device. */
function readRam({ memory, p2m }: Domain, gpa: number, size: number, into: Words): number {
  const ma = p2m.translate(gpa)
  let lo = 0
  let hi = 0
  for (let i = 0; i < size; i++) {
    const byte = memory.u8[ma + i]!
    if (i < 4) lo |= byte << (8 * i)
    else hi |= byte << (8 * (i - 4))
  }
  into.lo = lo >>> 0
  into.hi = hi >>> 0
  return STATUS_DONE
}
