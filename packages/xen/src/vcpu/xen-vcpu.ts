import { TWO_32 } from '@retrap/basics'
import { fieldsPart, Instant, Stateful, type Timer, type Word64 } from '@retrap/device'
import { PAGE_BYTES } from '@retrap/memory'
import { ACCESS_WRITE } from '@retrap/paging'
import type { XenArchitecture, XenHost, XenProcessor } from '../architecture.ts'
import type { EventChannels } from '../events/event-channels.ts'
import { VIRQ_TIMER } from '../events/event-port-table.ts'
import { Runstate, VcpuRunstate } from './runstate.ts'
import type { SharedInfo } from '../shared/shared-info.ts'

const OFF: Readonly<Word64> = { lo: 0, hi: 0 }

/** An area of the guest's, by linear address in the tables that its vCPU happens to run on. */
interface GuestArea {
  /** Linear address in hexadecimal digits. */
  readonly linear: string
  /** The structure was registered by 32-bit code. */
  readonly compat: boolean
}

/**
 * Xen's state of a vCPU besides the processor: whether it is up, its timers, its clock pages, and its times in each
 * state.
 */
export class XenVcpu extends Stateful {
  readonly #domain: XenHost
  readonly #architecture: XenArchitecture
  readonly #vcpu: XenProcessor
  readonly #info: SharedInfo
  readonly #singleShot: Timer
  readonly #periodic: Timer
  /** 0: off. */
  readonly #period = new Instant()
  readonly #now = new Instant()
  readonly #runstate: VcpuRunstate
  readonly #r
  /** Whether a hypercall has taken the vCPU down: it does not run until another vCPU brings it up. */
  down: boolean = false
  /** The vCPU has been started once. */
  initialised: boolean
  /** The guest has given its `vcpu_info` a place. */
  placed: boolean = false

  constructor(
    domain: XenHost,
    architecture: XenArchitecture,
    vcpu: XenProcessor,
    info: SharedInfo,
    channels: EventChannels,
  ) {
    super()
    this.#domain = domain
    this.#architecture = architecture
    this.#vcpu = vcpu
    this.#info = info
    this.initialised = vcpu.id === 0
    this.#runstate = new VcpuRunstate(vcpu.id === 0 ? Runstate.running : Runstate.offline, this.#time())
    const tick = (): void => channels.raiseVirq(VIRQ_TIMER, vcpu.id)
    this.#singleShot = domain.timers.create(tick)
    this.#periodic = domain.timers.create((_, deadline) => {
      // One tick for all periods that the host was late for.
      const period = this.#period.toNumber()
      const late = Math.floor(this.#time().since(deadline) / period)
      this.#armPeriodic(late === 0 ? deadline : new Instant().set(deadline).add(late * period))
      tick()
    })
    this.#r = this.keeps(
      {
        version: 2,
        flags: fieldsPart<XenVcpu>(this, { only: ['down', 'initialised', 'placed'] }),
        singleShot: this.#singleShot,
        period: this.#period,
        nextPeriod: this.#periodic,
        runstate: this.#runstate,
        runstateArea: null as GuestArea | null,
        timeArea: null as GuestArea | null,
      },
      { flat: ['flags'], lasting: ['runstate'] },
    )
  }

  /** System time, until it is asked for again. */
  #time(): Instant {
    this.#domain.clock.read(this.#now)
    return this.#now
  }

  #armPeriodic(from: Readonly<Word64>): void {
    const { lo, hi } = this.#period
    this.#periodic.armAfter(lo, new Instant().set(from).add(hi * TWO_32))
  }

  /** Power-on. */
  override reset(): void {
    super.reset()
    this.setPeriod(OFF)
  }

  /** Whether the vCPU runs, or would if it were not halted. */
  get isUp(): boolean {
    return !this.down && this.#vcpu.isStarted
  }

  // ---------------------------------------------------------------- timers

  /** @param deadline - system time of the deadline; null: none */
  setSingleShot(deadline: Readonly<Word64> | null): void {
    if (deadline === null) this.#singleShot.cancel()
    else this.#singleShot.armAfter(0, deadline)
  }

  /** @param period - nanoseconds, 64 bits; 0: none */
  setPeriod(period: Readonly<Word64>): void {
    this.#period.set(period)
    if (this.#period.equals(OFF)) this.#periodic.cancel()
    else this.#armPeriodic(this.#time())
  }

  // ---------------------------------------------------------------- clock pages

  /** The first copy is written by the vCPU itself, so that a bad address is known at once. @returns false for one */
  registerTimeArea(linear: bigint, compat: boolean): boolean {
    this.#r.timeArea = { linear: linear.toString(16), compat }
    return this.#writeTimeArea()
  }

  /** Brings the vCPU's clock pages up to date: its time-stamp counter was moved, or `vcpu_info` has another place. */
  updateTime(): void {
    const at = this.#info.vcpuTime(this.#vcpu.id)
    const { memory } = this.#domain
    const bytes = this.#architecture.timeInfo(this.#vcpu.id, memory.u32[at >>> 2]!)
    if (bytes === null) return
    // The version is odd while the rest is changed, and is stored last.
    Atomics.store(memory.i32, at >>> 2, memory.u32[at >>> 2]! | 1)
    memory.u8.set(bytes.subarray(4), at + 4)
    Atomics.store(memory.i32, at >>> 2, new DataView(bytes.buffer).getInt32(0, true))
    memory.noteWrite(at, bytes.length)
    this.#writeTimeArea()
  }

  #writeTimeArea(): boolean {
    const area = this.#r.timeArea
    if (area === null) return true
    const at = this.#info.vcpuTime(this.#vcpu.id)
    return this.#write(area.linear, this.#domain.memory.read(at, 32))
  }

  // ---------------------------------------------------------------- what it does with its time

  /** @param linear - 0: none any more */
  registerRunstateArea(linear: bigint, compat: boolean): boolean {
    this.#r.runstateArea = linear === 0n ? null : { linear: linear.toString(16), compat }
    return this.#writeRunstate()
  }

  /** The vCPU's times in each state up to now. */
  runstate(compat: boolean): Uint8Array {
    return this.#runstate.encode(compat, this.#time())
  }

  /** The vCPU goes on, or stops for a while. */
  enter(state: number): void {
    if (this.#runstate.state === state) return
    this.#runstate.enter(state, this.#time())
    if (this.#r.runstateArea !== null) this.#writeRunstate()
  }

  #writeRunstate(): boolean {
    const area = this.#r.runstateArea
    return area === null || this.#write(area.linear, this.runstate(area.compat))
  }

  /** Writes to the guest's memory with the vCPU's own tables. A part that cannot be written now is left out. */
  #write(hexadecimal: string, bytes: Uint8Array): boolean {
    const linear = BigInt(`0x${hexadecimal}`)
    for (let done = 0; done < bytes.length;) {
      const at = BigInt.asUintN(64, linear + BigInt(done))
      const lo = Number(at & 0xffff_ffffn)
      const gpa = this.#vcpu.guestPhysical(lo, Number(at >> 32n), ACCESS_WRITE)
      const piece = Math.min(bytes.length - done, PAGE_BYTES - (lo & (PAGE_BYTES - 1)))
      if (gpa < 0 || !this.#domain.guestMemory.write(gpa, bytes.subarray(done, done + piece))) return false
      done += piece
    }
    return true
  }
}
