import { I8042, type I8042Options } from '../../src/i8042.ts'
import { FakeMachine } from './fake-machine.ts'
import { TestInput } from './test-input.ts'

const OBF = 1
const AUX = 0x20
/** A byte takes 880 µs on the cable. */
export const BYTE_NS = 880_000

/** A controller with a keyboard and a mouse, whose clocks run and whose bytes are not translated. */
export class Ps2Machine {
  readonly keys = new TestInput()
  readonly movements = new TestInput()
  readonly i8042: I8042
  readonly machine: FakeMachine

  constructor(options: Partial<I8042Options> = {}, commandByte = 0x03) {
    this.i8042 = new I8042({ keyboard: this.keys, mouse: this.movements, ...options })
    this.machine = new FakeMachine(this.i8042)
    this.controller(0x60, commandByte)
  }

  /** A command of the controller, and its data. */
  controller(...bytes: readonly number[]): void {
    this.machine.out(0x64, bytes[0]!)
    for (const byte of bytes.slice(1)) this.machine.out(0x60, byte)
  }

  /** Reads all that comes while a device has something to send, at most `count` bytes. */
  read(count = 100): number[] {
    const bytes: number[] = []
    while (bytes.length < count) {
      this.machine.advance(BYTE_NS)
      // The prefix of a break code takes its time too, though a guest never reads it where codes are translated.
      if ((this.machine.in(0x64) & OBF) === 0) this.machine.advance(BYTE_NS)
      if ((this.machine.in(0x64) & OBF) === 0) break
      bytes.push(this.machine.in(0x60))
    }
    return bytes
  }

  /** What the keyboard answers to bytes. */
  keyboard(...bytes: readonly number[]): number[] {
    return bytes.flatMap((byte) => {
      this.machine.out(0x60, byte)
      return this.read()
    })
  }

  /** What the mouse answers to bytes. */
  mouse(...bytes: readonly number[]): number[] {
    return bytes.flatMap((byte) => {
      this.controller(0xd4, byte)
      return this.read()
    })
  }

  /** Whether the byte that waits is the mouse's. */
  get fromMouse(): boolean {
    return (this.machine.in(0x64) & (OBF | AUX)) === (OBF | AUX)
  }

  press(...usages: readonly number[]): void {
    for (const usage of usages) this.keys.key(usage, true)
  }

  release(...usages: readonly number[]): void {
    for (const usage of usages) this.keys.key(usage, false)
  }
}

/** Bytes in hexadecimal, as the documents have them. */
export function hexBytes(bytes: readonly number[]): string {
  return bytes.map((byte) => byte.toString(16).toUpperCase().padStart(2, '0')).join(' ')
}
