/** A guest of an Arm board, in words of A64: exceptions, an interrupt, page tables, and a device that takes its time. */
import { defineDevice } from '@retrap/device'
import { type ArmMachine, type ArmMachineOptions, createArmMachine, VIRT } from '@retrap/machine/arm'

const RAM = VIRT.ram.base
/** A device that takes its time. */
export const ARM_PRICE = 0x0b00_0000
/** What no table maps. */
export const ARM_ABSENT = 0x8000_0000
/** The virtual timer's interrupt. */
export const TIMER_INTID = 27
const TABLE = RAM + 0x10_0000

const movz = (to: number, value: number, shift = 0): number => 0xd280_0000 | ((shift / 16) << 21) | (value << 5) | to
const movk = (to: number, value: number, shift = 0): number => 0xf280_0000 | ((shift / 16) << 21) | (value << 5) | to
const wide = (to: number, value: number): number[] => [movz(to, value >>> 16, 16), movk(to, value & 0xffff)]
const system = (base: number, [op1, n, m, op2]: Register, general: number): number =>
  base | (op1 << 16) | (n << 12) | (m << 8) | (op2 << 5) | general
const msr = (to: Register, from: number): number => system(0xd518_0000, to, from)
const mrs = (to: number, from: Register): number => system(0xd538_0000, from, to)
/** str wN, [xB, #offset] */
const str = (value: number, base: number, offset: number): number =>
  0xb900_0000 | ((offset / 4) << 10) | (base << 5) | value

type Register = readonly [op1: number, n: number, m: number, op2: number]
const VBAR: Register = [0, 12, 0, 0]
const TTBR0: Register = [0, 2, 0, 0]
const TCR: Register = [0, 2, 0, 2]
const MAIR: Register = [0, 10, 2, 0]
const SCTLR: Register = [0, 1, 0, 0]
const ELR: Register = [0, 4, 0, 1]
const PMR: Register = [0, 4, 6, 0]
const GROUP_ENABLE: Register = [0, 12, 12, 7]
const ACKNOWLEDGE: Register = [0, 12, 12, 0]
const END: Register = [0, 12, 12, 1]
const TIMER_CONTROL: Register = [3, 14, 3, 1]
const TIMER_VALUE: Register = [3, 14, 3, 0]
const ISB = 0xd503_3fdf
const ERET = 0xd69f_03e0

/** Bytes of the image's header, and where the vectors are. */
const HEADER = 64
const VECTORS = 0x800

/** The image, and where its instructions are from its beginning. */
export interface ArmGuest {
  readonly image: Uint8Array
  readonly undefined: number
  readonly load: number
  readonly wait: number
  readonly loop: number
}

export function armGuest(): ArmGuest {
  const words: number[] = Array.from({ length: 16 }, () => 0)
  const add = (...more: number[]): void => void words.push(...more)
  const here = (): number => 4 * words.length
  words[0] = 0x1400_0010 // b .+64
  words[14] = 0x644d_5241
  // adr x0, vectors
  add(0x1000_0000 | (((VECTORS - HEADER) >> 2) << 5), msr(VBAR, 0))
  // The interrupt controller: group 1, and the timer's interrupt.
  add(...wide(0, 0x0800_0000), movz(1, 0x12), str(1, 0, 0))
  add(...wide(0, 0x080a_0000), str(31, 0, 0x14), ...wide(0, 0x080b_0000))
  add(...wide(1, 0xffff_ffff), str(1, 0, 0x80), ...wide(1, 1 << TIMER_INTID), str(1, 0, 0x100))
  add(movz(1, 0xff), msr(PMR, 1), movz(1, 1), msr(GROUP_ENABLE, 1))
  // Blocks of 1 GiB: devices, and RAM; x0 is the table.
  add(...wide(0, TABLE), ...wide(1, 0x405), str(1, 0, 0), str(31, 0, 4), ...wide(1, RAM | 0x701), str(1, 0, 8))
  add(str(31, 0, 12), str(31, 0, 16), msr(TTBR0, 0), ...wide(1, (1 << 23) | 25), msr(TCR, 1))
  // Attributes 0 are Normal, 1 Device.
  add(movz(1, 0xff), msr(MAIR, 1), mrs(1, SCTLR), 0xb240_0021, msr(SCTLR, 1), ISB)
  const at = { undefined: here(), load: 0, wait: 0, loop: 0 }
  add(0) // udf
  add(...wide(3, ARM_ABSENT))
  at.load = here()
  add(0xf940_0062) // ldr x2, [x3]
  add(movz(1, 5000), msr(TIMER_VALUE, 1), movz(1, 1), msr(TIMER_CONTROL, 1), 0xd503_42ff)
  at.wait = here()
  add(0xd503_207f, 0xd503_42df) // wfi; msr daifset, #2
  add(...wide(3, ARM_PRICE), 0xb940_0062) // ldr w2, [x3]
  add(movz(4, 3))
  at.loop = here()
  add(0xf100_0484, 0x54ff_ffe1) // subs x4, x4, #1; b.ne loop
  // PSCI's SYSTEM_OFF
  add(...wide(0, 0x8400_0008), 0xd400_0002)
  const vector = (offset: number, ...program: number[]): void => {
    while (here() < VECTORS + offset) add(0)
    add(...program)
  }
  // add x9, x9, #4
  vector(0x200, mrs(9, ELR), 0x9100_1129, msr(ELR, 9), ERET)
  vector(0x280, msr(TIMER_CONTROL, 31), mrs(9, ACKNOWLEDGE), msr(END, 9), ERET)
  words[4] = 4 * words.length
  return { image: new Uint8Array(Uint32Array.from(words).buffer), ...at }
}

const price = defineDevice({
  name: 'price',
  mmio: { base: ARM_PRICE, size: 0x1000 },
  async read() {
    await new Promise((resolve) => setTimeout(resolve, 5))
    return 7
  },
})

/** A board with the guest and the device. */
export function tracedBoard(options: Partial<ArmMachineOptions> = {}): Promise<ArmMachine> {
  const { image } = armGuest()
  return createArmMachine({ memoryBytes: 4 << 20, kernel: image, devices: [price], clock: 'deterministic', ...options })
}
