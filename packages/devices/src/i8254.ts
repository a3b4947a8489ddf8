import {
  type AccessSize,
  type DeviceContext,
  type DeviceModel,
  type InterruptLine,
  savedState,
  type SynchronousRangeHandler,
  type Timer,
} from '@retrap/device'
import { I8254Channel, type I8254ChannelState } from './i8254-channel.ts'
import { PIT_RATE } from './tick-rate.ts'

const PORT_COUNTERS = 0x40
const PORT_SYSTEM_CONTROL_B = 0x61
/** Control word: counter field 3 is the read-back command. */
const READ_BACK = 3
const READ_BACK_NO_COUNT = 0x20
const READ_BACK_NO_STATUS = 0x10

// Port 0x61, "NMI Status and Control".
const GATE2 = 0x01
const SPEAKER_DATA = 0x02
const PARITY_DISABLE = 0x04
const IOCHK_DISABLE = 0x08
const REFRESH_TOGGLE = 0x10
const OUT2 = 0x20
const WRITABLE_61 = GATE2 | SPEAKER_DATA | PARITY_DISABLE | IOCHK_DISABLE
/** DRAM refresh requests come every 15.085 µs (18 ticks of the counter clock). */
const REFRESH_TICKS = 18

/** Options of {@link I8254}. */
export interface I8254Options {
  /** ISA line of counter 0; default 0. */
  readonly irq?: number
  /** Told the state of the PC speaker's input when the guest changes it. */
  readonly onSpeaker?: (gate: boolean, data: boolean) => void
}

/** Saved form of an {@link I8254}. */
export interface I8254State {
  readonly version: 1
  readonly channels: readonly I8254ChannelState[]
  readonly control61: number
  readonly suppressed: boolean
}

/** A device whose interrupt an HPET takes over in legacy replacement mode. */
export interface LegacyInterruptSource {
  /** True: the device no longer reaches its interrupt line. */
  suppressInterrupt(suppressed: boolean): void
}

/**
 * 8254 programmable interval timer at ports 0x40–0x43 and the PC's system
 * control port B at 0x61, which gates counter 2 and shows its output.
 *
 * Counter 0 drives an interrupt line, counter 1 was the DRAM refresh and is
 * unconnected, counter 2 makes the speaker's tone. Edges of counter 0 that
 * the machine was too late for are given once, not one by one.
 *
 * Source: Intel 8254 data sheet (231164); Intel 82371SB (PIIX3) data sheet,
 * "NMI Status and Control Register".
 */
export class I8254 implements DeviceModel, LegacyInterruptSource {
  readonly name: string = 'i8254'
  private readonly options: I8254Options
  private readonly channels: readonly [I8254Channel, I8254Channel, I8254Channel] = [
    new I8254Channel(true),
    new I8254Channel(true),
    new I8254Channel(false),
  ]
  private control61 = 0
  private suppressed = false
  private context: DeviceContext | null = null
  private line: InterruptLine | null = null
  private timer: Timer | null = null

  constructor(options: I8254Options = {}) {
    this.options = options
  }

  attach(context: DeviceContext): void {
    this.context = context
    this.line = context.interruptLine(this.options.irq ?? 0)
    this.timer = context.timer(() => this.update())
    const counters: SynchronousRangeHandler = {
      read: (offset: number): number => (offset === 3 ? 0xff : this.readCounter(offset as 0 | 1 | 2)),
      write: (offset: number, _size: AccessSize, value: number): void =>
        offset === 3 ? this.writeControl(value) : this.writeCounter(offset as 0 | 1 | 2, value),
    }
    const systemControl: SynchronousRangeHandler = {
      read: (): number => this.readSystemControl(),
      write: (_offset: number, _size: AccessSize, value: number): void => this.writeSystemControl(value),
    }
    context.mapPorts(PORT_COUNTERS, 4, counters, { maximumAccess: 1 })
    context.mapPorts(PORT_SYSTEM_CONTROL_B, 1, systemControl, { maximumAccess: 1 })
  }

  suppressInterrupt(suppressed: boolean): void {
    this.suppressed = suppressed
    this.update()
  }

  private now(): number {
    return this.context === null ? 0 : PIT_RATE.ticksAt(this.context.clock.now())
  }

  private readCounter(index: 0 | 1 | 2): number {
    return this.channels[index].readCount(this.now())
  }

  private writeCounter(index: 0 | 1 | 2, value: number): void {
    this.channels[index].writeCount(this.now(), value)
    if (index === 0) this.update()
  }

  private writeControl(value: number): void {
    const tick = this.now()
    const select = value >> 6
    if (select === READ_BACK) {
      for (let index = 0; index < 3; index++) {
        if ((value & (2 << index)) === 0) continue
        const channel = this.channels[index as 0 | 1 | 2]
        if ((value & READ_BACK_NO_COUNT) === 0) channel.latchCount(tick)
        if ((value & READ_BACK_NO_STATUS) === 0) channel.latchStatus(tick)
      }
      return
    }
    const channel = this.channels[select as 0 | 1 | 2]
    if ((value & 0x30) === 0) {
      channel.latchCount(tick)
      return
    }
    channel.writeControl(tick, value & 0x3f)
    if (select === 0) this.update()
  }

  private readSystemControl(): number {
    const tick = this.now()
    const [, , speaker] = this.channels
    speaker.sync(tick)
    const refresh = Math.floor(tick / REFRESH_TICKS) % 2 === 0 ? 0 : REFRESH_TOGGLE
    return this.control61 | refresh | (speaker.out ? OUT2 : 0)
  }

  private writeSystemControl(value: number): void {
    const changed = (this.control61 ^ value) & (GATE2 | SPEAKER_DATA)
    this.control61 = value & WRITABLE_61
    this.channels[2].setGate(this.now(), (value & GATE2) !== 0)
    if (changed !== 0) this.options.onSpeaker?.((value & GATE2) !== 0, (value & SPEAKER_DATA) !== 0)
  }

  /** Drives the line of counter 0 as its output says and looks for the next change. */
  private update(): void {
    const { line, timer } = this
    if (line === null || timer === null) return
    const [channel] = this.channels
    channel.sync(this.now())
    const rose = channel.takeRise()
    if (this.suppressed) {
      line.set(false)
      timer.cancel()
      return
    }
    // A rate generator is low for one tick only, shorter than the machine may notice: show the edge.
    if (rose) line.set(false)
    line.set(rose || channel.out)
    if (rose && !channel.out) line.set(false)
    const next = channel.nextChange()
    if (next === Infinity) timer.cancel()
    else timer.arm(PIT_RATE.nanosecondsAt(next))
  }

  reset(): void {
    // A power-on 8254 is undefined; counters that do nothing are what firmware can rely on.
    this.channels.forEach((channel, index) => channel.restore(new I8254Channel(index !== 2).save()))
    this.control61 = 0
    this.suppressed = false
    this.update()
  }

  save(): I8254State {
    const tick = this.now()
    for (const channel of this.channels) channel.sync(tick)
    return {
      version: 1,
      channels: this.channels.map((channel) => channel.save()),
      control61: this.control61,
      suppressed: this.suppressed,
    }
  }

  restore(state: unknown): void {
    const saved = savedState<I8254State>(this.name, state, 1)
    saved.channels.forEach((channel, index) => this.channels[index as 0 | 1 | 2].restore(channel))
    this.control61 = saved.control61
    this.suppressed = saved.suppressed
    this.update()
  }
}
