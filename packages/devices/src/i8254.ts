import {
  type AccessSize,
  type AudioBackend,
  type DeviceContext,
  type DeviceModel,
  type InterruptLine,
  Stateful,
  type SynchronousRangeHandler,
  type Timer,
  type PlainState,
} from '@retrap/device'
import { I8254Channel } from './i8254-channel.ts'
import { LateEdges } from './late-edges.ts'
import { PcSpeaker } from './pc-speaker.ts'
import { PIT_RATE, TickCounter } from './tick-counter.ts'

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
  /** Called with the state of the PC speaker's input when the guest changes it. */
  readonly onSpeaker?: (gate: boolean, data: boolean) => void
  /** Gets the PC speaker's sound, as {@link SPEAKER_FORMAT}; nothing while silent. Default: the sound is discarded. */
  readonly speaker?: AudioBackend
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
 * unconnected, counter 2 makes the speaker's tone (`PcSpeaker`). Edges of counter 0 that
 * the machine was too late for follow one by one (`LateEdges`).
 *
 * Source: Intel 8254 data sheet (231164); Intel 82371SB (PIIX3) data sheet,
 * "NMI Status and Control Register".
 */
export class I8254 extends Stateful implements DeviceModel, LegacyInterruptSource {
  /** Name of the model in errors, traces and snapshots. */
  readonly name: string = 'i8254'
  readonly #options: I8254Options
  readonly #channels: readonly [I8254Channel, I8254Channel, I8254Channel] = [
    new I8254Channel(true),
    new I8254Channel(true),
    new I8254Channel(false),
  ]
  /** The origin moves by whole periods of the refresh toggle, which keeps its phase. */
  readonly #ticks = new TickCounter(PIT_RATE, 2 * REFRESH_TICKS, (ticks) => this.#originMoved(ticks))
  readonly #late = new LateEdges((PIT_RATE.ticks * 1e9) / PIT_RATE.nanoseconds)
  readonly #r = this.keeps(
    {
      version: 2,
      origin: this.#ticks.origin,
      channels: this.#channels,
      control61: 0,
      suppressed: false,
      late: this.#late,
      /** The level of the interrupt line. */
      line: false,
    },
    {
      lasting: ['line'],
      settled: (): void => {
        this.#drive(this.#r.line)
        this.#speaker?.restart(this.#ticks.now(), (this.#r.control61 & SPEAKER_DATA) !== 0)
        this.#playOn()
        this.#update()
      },
    },
  )
  #line: InterruptLine | null = null
  #timer: Timer | null = null
  readonly #speaker: PcSpeaker | null
  #speakerTimer: Timer | null = null

  constructor(options: I8254Options = {}) {
    super()
    this.#options = options
    this.#speaker = options.speaker === undefined ? null : new PcSpeaker(this.#channels[2], options.speaker)
  }

  /** Claims ports 0x40 to 0x43 and 0x61, and takes the line of counter 0. */
  attach(context: DeviceContext): void {
    this.#ticks.attach(context.clock)
    this.#line = context.interruptLine(this.#options.irq ?? 0)
    this.#timer = context.timer(() => this.#update())
    if (this.#speaker !== null) this.#speakerTimer = context.timer(() => this.#playOn())
    const counters: SynchronousRangeHandler = {
      read: (offset: number): number =>
        offset === 3 ? 0xff : this.#channels[offset as 0 | 1 | 2].readCount(this.#now()),
      write: (offset: number, _size: AccessSize, value: number): void =>
        offset === 3 ? this.#writeControl(value) : this.#writeCounter(offset as 0 | 1 | 2, value),
    }
    const systemControl: SynchronousRangeHandler = {
      read: (): number => this.#readSystemControl(),
      write: (_offset: number, _size: AccessSize, value: number): void => this.#writeSystemControl(value),
    }
    context.mapPorts(PORT_COUNTERS, 4, counters, { maximumAccess: 1 })
    context.mapPorts(PORT_SYSTEM_CONTROL_B, 1, systemControl, { maximumAccess: 1 })
  }

  /** Disconnects counter 0 from its interrupt line, or connects it again. */
  suppressInterrupt(suppressed: boolean): void {
    this.#r.suppressed = suppressed
    this.#update()
  }

  /** The tick of this moment, up to which the speaker has played. */
  #now(): number {
    const tick = this.#ticks.now()
    this.#speaker?.advance(tick)
    return tick
  }

  /** Plays the sound so far; while the speaker sounds, again after each time slice. */
  #playOn(): void {
    const tick = this.#now()
    const timer = this.#speakerTimer
    if (timer === null || this.#speaker === null) return
    if (this.#speaker.sounds) this.#ticks.arm(timer, tick + PcSpeaker.SLICE_TICKS)
    else timer.cancel()
  }

  /** Counter 2, its gate or the speaker's bit has changed. */
  #speakerChanged(): void {
    if (this.#speaker === null) return
    this.#speaker.changed((this.#r.control61 & SPEAKER_DATA) !== 0)
    this.#playOn()
  }

  #originMoved(ticks: number): void {
    this.#speaker?.advance(ticks)
    this.#speaker?.moveOrigin(ticks)
    for (const channel of this.#channels) channel.moveOrigin(ticks)
    this.#late.shift(ticks)
  }

  #writeCounter(index: 0 | 1 | 2, value: number): void {
    this.#channels[index].writeCount(this.#now(), value)
    if (index === 0) this.#update()
    else if (index === 2) this.#speakerChanged()
  }

  #writeControl(value: number): void {
    const tick = this.#now()
    const select = value >> 6
    if (select === READ_BACK) {
      for (let index = 0; index < 3; index++) {
        if ((value & (2 << index)) === 0) continue
        const channel = this.#channels[index as 0 | 1 | 2]
        if ((value & READ_BACK_NO_COUNT) === 0) channel.latchCount(tick)
        if ((value & READ_BACK_NO_STATUS) === 0) channel.latchStatus(tick)
      }
      return
    }
    const channel = this.#channels[select as 0 | 1 | 2]
    if ((value & 0x30) === 0) {
      channel.latchCount(tick)
      return
    }
    channel.writeControl(tick, value & 0x3f)
    if (select === 2) this.#speakerChanged()
    if (select !== 0) return
    this.#late.forget()
    this.#update()
  }

  #readSystemControl(): number {
    const tick = this.#now()
    const [, , speaker] = this.#channels
    speaker.sync(tick)
    const refresh = Math.floor(tick / REFRESH_TICKS) % 2 === 0 ? 0 : REFRESH_TOGGLE
    return this.#r.control61 | refresh | (speaker.out ? OUT2 : 0)
  }

  #writeSystemControl(value: number): void {
    const changed = (this.#r.control61 ^ value) & (GATE2 | SPEAKER_DATA)
    const tick = this.#now()
    this.#r.control61 = value & WRITABLE_61
    this.#channels[2].setGate(tick, (value & GATE2) !== 0)
    if (changed !== 0) this.#speakerChanged()
    if (changed !== 0) this.#options.onSpeaker?.((value & GATE2) !== 0, (value & SPEAKER_DATA) !== 0)
  }

  /** Drives the line of counter 0 as its output says and looks for the next change. */
  #update(): void {
    const line = this.#line
    const timer = this.#timer
    if (line === null || timer === null) return
    const [channel] = this.#channels
    const tick = this.#now()
    channel.sync(tick)
    const rises = channel.takeRises()
    if (this.#r.suppressed) {
      this.#late.forget()
      this.#drive(false)
      timer.cancel()
      return
    }
    if (this.#late.take(rises, tick, channel.period)) {
      // A rate generator is low for one tick only, shorter than the machine may notice: show the edge.
      this.#drive(false)
      if (!channel.out) line.pulse()
      this.#drive(channel.out)
    } else if (!channel.out || this.#late.next === Infinity) {
      // While edges are pending, a rise is not shown before its turn.
      this.#drive(channel.out)
    }
    const next = Math.min(channel.nextChange(), this.#late.next)
    if (next === Infinity) timer.cancel()
    else this.#ticks.arm(timer, next)
  }

  /** Returns the state as plain data. */
  override save(): PlainState {
    // The line too: a restored board drives it to the output of this moment.
    this.#update()
    const tick = this.#now()
    for (const channel of this.#channels) channel.sync(tick)
    return super.save()
  }

  #drive(level: boolean): void {
    this.#r.line = level
    this.#line?.set(level)
  }
}
