import type { VirtioMachine } from './virtio-machine.ts'

export const ACKNOWLEDGE = 1
export const DRIVER = 2
export const DRIVER_OK = 4
export const FEATURES_OK = 8
export const NEEDS_RESET = 0x40

const BAR = 4
const NOTIFY = 0x3000

/** Features as bit numbers, by word. */
export const word = (bits: readonly number[], index: number): number =>
  bits.filter((bit) => bit >> 5 === index).reduce((all, bit) => (all | (1 << (bit & 31))) >>> 0, 0)

/** The registers of the modern PCI interface, as a driver uses them. */
export class PciDriver {
  readonly machine: VirtioMachine

  constructor(machine: VirtioMachine) {
    this.machine = machine
  }

  get status(): number {
    return this.machine.read(BAR, 20, 1)
  }
  set status(value: number) {
    this.machine.write(BAR, 20, 1, value)
  }

  features(index: number): number {
    this.machine.write(BAR, 0, 4, index)
    return this.machine.read(BAR, 4, 4)
  }

  accept(bits: readonly number[]): void {
    for (const index of [0, 1]) {
      this.machine.write(BAR, 8, 4, index)
      this.machine.write(BAR, 12, 4, word(bits, index))
    }
  }

  setQueue(
    index: number,
    { size, descriptors, driver, device }: { size: number; descriptors: number; driver: number; device: number },
  ): void {
    const { machine } = this
    machine.write(BAR, 22, 2, index)
    machine.write(BAR, 24, 2, size)
    machine.write(BAR, 26, 2, index)
    for (const [at, gpa] of [
      [32, descriptors],
      [40, driver],
      [48, device],
    ] as const) {
      machine.write(BAR, at, 4, gpa % 2 ** 32)
      machine.write(BAR, at + 4, 4, Math.floor(gpa / 2 ** 32))
    }
    machine.write(BAR, 28, 2, 1)
  }

  notify(index: number): void {
    this.machine.write(BAR, NOTIFY + 4 * index, 2, index)
  }

  /** Reads and clears the interrupt status. */
  isr(): number {
    return this.machine.read(BAR, 0x1000, 1)
  }

  config(offset: number, size: 1 | 2 | 4): number {
    return this.machine.read(BAR, 0x2000 + offset, size)
  }

  /** Goes through the initialisation of §3.1.1, without queues. @returns whether the device took the features */
  negotiate(bits: readonly number[]): boolean {
    this.status = 0
    this.status = ACKNOWLEDGE
    this.status = ACKNOWLEDGE | DRIVER
    this.accept(bits)
    this.status = ACKNOWLEDGE | DRIVER | FEATURES_OK
    return (this.status & FEATURES_OK) !== 0
  }

  start(): void {
    this.status = ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK
  }
}
