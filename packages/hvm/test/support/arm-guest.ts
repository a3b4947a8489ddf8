import { setTimeout } from 'node:timers/promises'
import { MachineMemory } from '@retrap/memory'
import { TestSleeper } from '@retrap/x86-assembler/guest-code/flat-guest'
import { ArmDomain, type ArmDomainOptions, type GicPlace } from '../../src/arm/index.ts'
import { type DomainClock, DeterministicClock } from '../../src/index.ts'

/** Where the RAM of the guests begins. */
export const RAM = 0x4000_0000
/** Where they have a device. */
export const DEVICE = 0x0900_0000

/** Where the interrupt translation service is. */
export const ITS = 0x0808_0000

/* Instructions of A64. */
export const movz = (register: number, value: number, shift = 0): number =>
  (0xd280_0000 | ((shift / 16) << 21) | (value << 5) | register) >>> 0
export const movk = (register: number, value: number, shift = 0): number =>
  (0xf280_0000 | ((shift / 16) << 21) | (value << 5) | register) >>> 0
/** Has a register be a number of 32 bits. */
export const load = (register: number, value: number): number[] => [
  movz(register, value >>> 16, 16),
  movk(register, value & 0xffff),
]
/** LDR and STR of a word, at an offset from a base. */
export const ldr = (register: number, base: number, offset: number): number =>
  (0xb940_0000 | ((offset / 4) << 10) | (base << 5) | register) >>> 0
export const str = (register: number, base: number, offset: number): number =>
  (0xb900_0000 | ((offset / 4) << 10) | (base << 5) | register) >>> 0
export const HVC = 0xd400_0002
export const WFI = 0xd503_207f
/** PSCI SYSTEM_OFF. */
export const OFF = [movz(0, 0x8400, 16), movk(0, 8), HVC]

/** Writes instructions, at an offset in RAM. */
export function put(domain: ArmDomain, offset: number, program: readonly number[]): void {
  domain.guestMemory.write(RAM + offset, new Uint8Array(Uint32Array.from(program).buffer))
}

/** A domain with a GICv3 alone, and no RAM. @param more - takes the place of what it has */
export const bareDomain = (more: Partial<ArmDomainOptions> = {}): ArmDomain =>
  new ArmDomain({
    memory: MachineMemory.create({ bytes: 32 << 20 }),
    vcpus: 1,
    clock: new DeterministicClock(),
    sleeper: new TestSleeper(),
    codeCacheBytes: 2 << 20,
    gic: { distributor: 0x0800_0000, redistributors: 0x080a_0000 },
    ...more,
  })

/** A domain with 4 MiB of RAM, whose first vCPU begins with a program at the beginning of that. */
export function domainWith(
  program: readonly number[],
  vcpus = 1,
  clock: DomainClock = new DeterministicClock(),
  gic: GicPlace = { distributor: 0x0800_0000, its: ITS, redistributors: 0x080a_0000 },
): ArmDomain {
  const sleeper = { sleep: (ms: number) => setTimeout(Math.min(ms, 5)), wake: () => {} }
  const domain = bareDomain({ vcpus, clock, sleeper, gic })
  domain.p2m.populate(RAM / 4096, 1024)
  put(domain, 0, program)
  domain.reset()
  domain.vcpus[0]!.start(BigInt(RAM), 0n)
  return domain
}

/** Runs a domain. @returns why it ended; `stopped` after so many milliseconds */
export async function run(domain: ArmDomain, ms = 5000): Promise<string> {
  const timer = globalThis.setTimeout(() => domain.stop({ reason: 'stopped' }), ms)
  const { reason } = await domain.run()
  clearTimeout(timer)
  return reason
}
