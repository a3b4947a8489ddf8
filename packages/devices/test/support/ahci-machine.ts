import type { DeviceContext, Dma, PciFunctionOptions, RangeHandler } from '@retrap/device'
import { Ahci, type IdeDriveOptions } from '../../src/ahci/index.ts'
import { FakeMachine } from './fake-machine.ts'

/** Places of port 0's structures in guest memory; those of other ports follow in steps of 64 KiB. */
export const LIST = 0x1000
export const FRAMES = 0x2000
export const TABLES = 0x3000
export const DATA = 0x8000
const TABLE_BYTES = 0x100

// Registers of a port.
export const IS = 0x10
export const IE = 0x14
export const CMD = 0x18
export const TFD = 0x20
export const SIG = 0x24
export const SSTS = 0x28
export const SCTL = 0x2c
export const SERR = 0x30
export const SACT = 0x34
export const CI = 0x38

export const START = 0x11

/** A command as a driver puts it into a slot. */
export interface SlotCommand {
  readonly opcode: number
  readonly lba?: number
  readonly count?: number
  readonly feature?: number
  /** Address and bytes of each part of the data. */
  readonly parts?: readonly (readonly [gpa: number, bytes: number])[]
  readonly packet?: readonly number[]
  /** Instead of a command: the device control register. */
  readonly control?: number
  readonly device?: number
}

/** A PC with an AHCI controller alone, and what a driver does with it. */
export class AhciMachine {
  readonly machine = new FakeMachine()
  readonly model: Ahci
  /** Levels of the interrupt pin, and messages. */
  readonly signals: string[] = []
  messageMode: 'none' | 'msi' = 'none'
  level = false
  /** Upper words of the addresses of all structures and data. */
  high = 0
  readonly config = new Uint8Array(256)
  #options: PciFunctionOptions | undefined
  #bar: RangeHandler | undefined

  constructor(drives: readonly (IdeDriveOptions | null)[], watch: (dma: Dma) => Dma = (dma) => dma) {
    this.machine.grow(0x8_0000)
    this.model = new Ahci({ drives })
    this.config[4] = 6
    const context = this.machine.context()
    const pci = {
      add: (options: PciFunctionOptions) => {
        this.#options = options
        this.#bar = options.bars![0]!.handler
        const { config } = this
        return {
          config,
          get mayMaster() {
            return (config[4]! & 4) !== 0
          },
          interrupt: { set: (level: boolean) => void (this.level = level), pulse: () => {} },
          messages: { mode: 'none', signal: (vector: number) => this.signals.push(`message ${vector}`) },
        }
      },
    }
    const dma = watch(context.dma) as DeviceContext['dma']
    this.model.attach({ ...context, dma, pci: pci as unknown as DeviceContext['pci'] })
  }

  /** What follows a write to configuration space. */
  configWritten(register: number): void {
    this.#options?.onWrite?.(register, 1)
  }

  read(offset: number): number {
    return (this.#bar!.read(offset, 4) as number) >>> 0
  }
  write(offset: number, value: number): void {
    void this.#bar!.write(offset, 4, value >>> 0)
  }
  port(register: number, port = 0): number {
    return this.read(0x100 + 0x80 * port + register)
  }
  setPort(register: number, value: number, port = 0): void {
    this.write(0x100 + 0x80 * port + register, value)
  }

  /** Sets addresses, and has the port take frames and commands. */
  start(port = 0): void {
    const base = port << 16
    this.setPort(0x00, base + LIST, port)
    this.setPort(0x04, this.high, port)
    this.setPort(0x08, base + FRAMES, port)
    this.setPort(0x0c, this.high, port)
    this.setPort(SERR, 0xffff_ffff, port)
    this.setPort(IS, 0xffff_ffff, port)
    this.setPort(IE, 0x7dc0_007f, port)
    this.setPort(CMD, 0x10, port)
    this.setPort(CMD, START, port)
    this.write(0x08, 0xffff_ffff)
    this.write(0x04, 2)
  }

  /** Puts a command into a slot without issuing it. */
  prepare(slot: number, command: SlotCommand, port = 0): void {
    const { opcode, lba = 0, count = 0, feature = 0, parts = [], packet, control, device = 0x40 } = command
    const base = port << 16
    const table = base + TABLES + slot * TABLE_BYTES
    const { ram } = this.machine
    const view = new DataView(ram.buffer)
    view.setUint32(base + LIST + 32 * slot, 5 | (packet ? 1 << 5 : 0) | (parts.length << 16), true)
    view.setUint32(base + LIST + 32 * slot + 4, 0, true)
    view.setUint32(base + LIST + 32 * slot + 8, table, true)
    view.setUint32(base + LIST + 32 * slot + 12, this.high, true)
    const bytes = [0, 8, 16].map((shift) => (lba >>> shift) & 0xff)
    const high = [Math.floor(lba / 2 ** 24) & 0xff, 0, 0]
    const flags = control === undefined ? 0x80 : 0
    ram.set([0x27, flags, opcode, feature & 0xff, ...bytes, device, ...high, feature >> 8], table)
    ram.set([count & 0xff, count >> 8, 0, control ?? 0, 0, 0, 0, 0], table + 12)
    if (packet) ram.set(packet, table + 0x40)
    parts.forEach(([gpa, length], i) => {
      view.setUint32(table + 0x80 + 16 * i, gpa, true)
      view.setUint32(table + 0x84 + 16 * i, this.high, true)
      view.setUint32(table + 0x8c + 16 * i, length - 1, true)
    })
  }

  issue(...slots: readonly number[]): void {
    this.setPort(
      CI,
      slots.reduce((bits, slot) => bits | (1 << slot), 0),
    )
  }

  /** Issues one command in slot 0 and waits for its end. */
  async execute(command: SlotCommand, port = 0): Promise<void> {
    this.prepare(0, command, port)
    this.setPort(CI, 1, port)
    await this.pass()
  }

  /** Lets media answer. */
  async pass(rounds = 6): Promise<void> {
    for (let i = 0; i < rounds; i++) {
      this.machine.advance(100_000)
      await new Promise((resolve) => setImmediate(resolve))
    }
  }

  /** The count of bytes in a slot's header. */
  moved(slot = 0, port = 0): number {
    return new DataView(this.machine.ram.buffer).getUint32((port << 16) + LIST + 32 * slot + 4, true)
  }
}
