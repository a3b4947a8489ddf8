import type { BlockBackend, Dma } from '@retrap/device'
import { FloppyController, I8237 } from '../../src/floppy/index.ts'
import { FakeMachine } from './fake-machine.ts'

/** Where the driver has its sectors. */
export const DATA = 0x2_0000

/** A machine with a floppy controller, and what a driver does with it. */
export class FloppyMachine {
  readonly machine = new FakeMachine()
  readonly dma = new I8237({ cascades: true })
  readonly model: FloppyController

  constructor(drives: readonly (BlockBackend | null)[], watch: (dma: Dma) => Dma = (dma) => dma) {
    this.machine.grow(0x10_0000)
    this.model = new FloppyController({ drives, dma: this.dma.channel(2) })
    const context = this.machine.context()
    this.dma.attach({ ...context, dma: { ...context.dma, ...watch(context.dma) } })
    this.model.attach(this.machine.context())
  }

  get irq(): boolean {
    return this.machine.line(6).level
  }

  /** Out of reset, with the motor of drive A, at the rate of 1.44 MB. */
  start(rate = 0): void {
    this.machine.out(0x3f2, 0x1c)
    for (let i = 0; i < 4; i++) this.command(8)
    this.machine.out(0x3f7, rate)
    this.command(3, 0xdf, 0x02)
  }

  /** Writes the bytes of a command. @returns its result, if it is there at once */
  command(...bytes: readonly number[]): number[] {
    for (const byte of bytes) this.machine.out(0x3f5, byte)
    return this.result()
  }

  /** What the controller has to say. */
  result(): number[] {
    const found: number[] = []
    while ((this.machine.in(0x3f4) & 0xd0) === 0xd0) found.push(this.machine.in(0x3f5))
    return found
  }

  /** Lets heads arrive and media answer. */
  async pass(ns = 30e6): Promise<void> {
    for (let done = 0; done < ns; done += 1e6) {
      this.machine.advance(1e6)
      await new Promise((resolve) => setImmediate(resolve))
    }
  }

  async seek(cylinder: number, drive = 0): Promise<number[]> {
    this.command(0x0f, drive, cylinder)
    await this.pass()
    return this.command(8)
  }

  /** Sets channel 2 up. @param mode - 0x46: to memory; 0x4a: from memory */
  channel(mode: number, bytes: number, gpa = DATA): void {
    const { machine } = this
    machine.out(0x0a, 6)
    machine.out(0x0c, 0)
    machine.out(0x0b, mode)
    machine.out(0x04, gpa & 0xff)
    machine.out(0x04, (gpa >> 8) & 0xff)
    machine.out(0x81, gpa >> 16)
    machine.out(0x05, (bytes - 1) & 0xff)
    machine.out(0x05, (bytes - 1) >> 8)
    machine.out(0x0a, 2)
  }

  /** A command that moves sectors, and its result. */
  async transfer(...bytes: readonly number[]): Promise<number[]> {
    const atOnce = this.command(...bytes)
    await this.pass()
    return atOnce.length > 0 ? atOnce : this.result()
  }
}
