import {
  type AudioBackend,
  type DeviceContext,
  type DeviceModel,
  listed,
  type PciFunction,
  Stateful,
  type SynchronousRangeHandler,
} from '@retrap/device'
import { BusMaster } from './bus-master.ts'
import { Mixer } from './mixer.ts'
import { checkDeviceNumber } from '../pci-device-number.ts'

/** Options of {@link Ac97}. */
export interface Ac97Options {
  /** The back end for the guest's sound; default: it is discarded. */
  readonly audio?: AudioBackend | undefined
  /** The bus: a bridge's `busName`; default bus 0. */
  readonly bus?: string | undefined
  /** PCI device number on its bus, 1 to 31 on bus 0, and 0 to 31 on others. */
  readonly device: number
  /** Names the model; default `ac97`. */
  readonly name?: string
}

const MIXER_BYTES = 256
const MASTER_BYTES = 64
const CHANNEL_BYTES = 16
const CHANNELS = 3
const PCM_IN = 0
const PCM_OUT = 1
const MICROPHONE = 2
const CONTROL = 0x2c
const STATUS = 0x30
const SEMAPHORE = 0x34
/** Cold reset is off: bit 1. */
const NOT_RESET = 0x02
const WARM_RESET = 0x04
const CODEC_READY = 0x100
const STATUS_BITS = [0x20, 0x40, 0x80]

/**
 * The sound controller of an 82801AA (ICH), with an AC'97 codec of 16 bits and two channels. Recordings are silence.
 *
 * Sources: Intel 82801AA data sheet (290655), "AC '97 Audio Controller Registers"; Audio Codec '97 Component
 * Specification 2.1.
 */
export class Ac97 extends Stateful implements DeviceModel {
  /** Name of the model in errors, traces and snapshots. */
  readonly name: string
  /** Handlers answer at once. */
  readonly synchronous: boolean = true
  readonly #bus: string | undefined
  readonly #device: number
  readonly #audio: AudioBackend | undefined
  readonly #mixer = new Mixer()
  #context!: DeviceContext
  #pci!: PciFunction
  #masters: readonly BusMaster[] = []
  readonly #r = { control: 0, semaphore: 0 }

  /** @throws DeviceError `ERR_OPTION` */
  constructor({ audio, bus, device, name = 'ac97' }: Ac97Options) {
    super()
    checkDeviceNumber(name, device, bus)
    this.name = name
    this.#bus = bus
    this.#device = device
    this.#audio = audio
    this.keeps({ version: 1, registers: listed(this.#r), mixer: this.#mixer.words, channels: () => this.#masters })
  }

  /** Adds the PCI function. */
  attach(context: DeviceContext): void {
    this.#context = context
    const mixer = this.#mixer
    const master = (number: number): BusMaster =>
      new BusMaster({
        context,
        channels: number === MICROPHONE ? 1 : 2,
        rate: () => (number === PCM_OUT ? mixer.outputRate : mixer.inputRate),
        mayMaster: () => this.#pci.mayMaster,
        move: (gpa, samples) => (number === PCM_OUT ? this.#play(gpa, samples) : this.#record(gpa, samples)),
        update: () => this.#update(),
      })
    this.#masters = [master(PCM_IN), master(PCM_OUT), master(MICROPHONE)]
    this.#pci = context.pci.add({
      bus: this.#bus ?? 0,
      device: this.#device,
      vendorId: 0x8086,
      deviceId: 0x2415,
      revisionId: 1,
      // Multimedia, audio.
      classCode: 0x04_0100,
      subsystemVendorId: 0x8086,
      interruptPin: 1,
      bars: [
        { index: 0, kind: 'io', bytes: MIXER_BYTES, maximumAccess: 2, minimumAccess: 2, handler: this.#mixerPorts },
        { index: 1, kind: 'io', bytes: MASTER_BYTES, handler: this.#masterPorts },
      ],
      onWrite: () => {
        for (const each of this.#masters) each.sync()
      },
    })
  }

  readonly #mixerPorts: SynchronousRangeHandler = {
    read: (offset) => {
      this.#r.semaphore = 0
      return offset < 0x80 ? this.#mixer.read(offset) : 0xffff
    },
    write: (offset, _size, value) => {
      this.#r.semaphore = 0
      // Earlier samples were played at the old rate and volume.
      for (const each of this.#masters) each.sync()
      if (offset >= 0x80) return
      const { outputRate, inputRate } = this.#mixer
      this.#mixer.write(offset, value)
      if (this.#mixer.outputRate !== outputRate || this.#mixer.inputRate !== inputRate)
        for (const each of this.#masters) each.recount()
    },
  }

  readonly #masterPorts: SynchronousRangeHandler = {
    read: (offset, size) => {
      let value = 0
      for (let i = size - 1; i >= 0; i--) value = (value << 8) | this.#readByte(offset + i)
      return value >>> 0
    },
    write: (offset, size, value) => {
      for (let i = 0; i < size; i++) this.#writeByte(offset + i, (value >>> (8 * i)) & 0xff)
    },
  }

  #readByte(offset: number): number {
    const channel = Math.floor(offset / CHANNEL_BYTES)
    if (channel < CHANNELS && offset < CONTROL) return this.#masters[channel]!.read(offset % CHANNEL_BYTES)
    if (offset >= CONTROL && offset < CONTROL + 4) return (this.#r.control >>> (8 * (offset - CONTROL))) & 0xff
    if (offset >= STATUS && offset < STATUS + 4) return (this.#status >>> (8 * (offset - STATUS))) & 0xff
    if (offset !== SEMAPHORE) return 0
    const before = this.#r.semaphore
    this.#r.semaphore = 1
    return before
  }

  #writeByte(offset: number, value: number): void {
    const channel = Math.floor(offset / CHANNEL_BYTES)
    if (channel < CHANNELS && offset < CONTROL) this.#masters[channel]!.write(offset % CHANNEL_BYTES, value)
    else if (offset === CONTROL) this.#setControl(value)
  }

  /** A warm reset clears its bit by itself; a cold reset lasts until the guest clears its bit. */
  #setControl(value: number): void {
    if ((value & NOT_RESET) === 0) this.#clear()
    this.#r.control = value & 0x3f & ~WARM_RESET
  }

  get #status(): number {
    const interrupts = STATUS_BITS.reduce((bits, bit, i) => bits | (this.#masters[i]!.interrupts ? bit : 0), 0)
    return interrupts | ((this.#r.control & NOT_RESET) === 0 ? 0 : CODEC_READY)
  }

  #update(): void {
    this.#pci.interrupt?.set(this.#masters.some(({ interrupts }) => interrupts))
  }

  #play(gpa: number, count: number): void {
    const bytes = new Uint8Array(2 * count)
    if (!this.#context.dma.read(gpa, bytes)) bytes.fill(0)
    if (this.#audio === undefined) return
    const view = new DataView(bytes.buffer)
    const samples = Int16Array.from({ length: count }, (_, i) => view.getInt16(2 * i, true))
    const gains = this.#mixer.gains
    if (gains[0] !== 1 || gains[1] !== 1) {
      for (let i = 0; i < count; i++) {
        const value = Math.round(samples[i]! * gains[(i & 1) as 0 | 1])
        samples[i] = Math.min(Math.max(value, -0x8000), 0x7fff)
      }
    }
    this.#audio.play(samples, { rate: this.#mixer.outputRate, channels: 2 })
  }

  /** Records silence: there is no microphone. */
  #record(gpa: number, count: number): void {
    this.#context.dma.write(gpa, new Uint8Array(2 * count))
  }

  #clear(): void {
    this.#mixer.reset()
    for (const each of this.#masters) each.reset()
    this.#r.semaphore = 0
    this.#update()
  }

  /** Returns to the state at power-on. */
  override reset(): void {
    this.#r.control = 0
    this.#clear()
  }
}
