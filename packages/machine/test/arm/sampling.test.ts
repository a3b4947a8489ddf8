import { beforeAll, describe, expect, test } from 'vitest'
import { createArmMachine, type ArmMachineOptions, type GuestSample } from '../../src/arm/index.ts'
import { armImage as image, movk, movz } from '@retrap/tooling/arm-image'

const ROUNDS = 30_000
const [STRAIGHT, LOOP_ROUNDS] = [60, 40]
const ADD = 0x9100_0442 // add x2, x2, #1
const ENTER = [0xa9bf_7bfd, 0x9100_03fd] // stp x29, x30, [sp, #-16]!; mov x29, sp
const LEAVE = [0xa8c1_7bfd, 0xd65f_03c0] // ldp x29, x30, [sp], #16; ret
const RET = 0xd65f_03c0
const bl = (words: number): number => (0x9400_0000 | (words & 0x03ff_ffff)) >>> 0
const branchNotEqual = (words: number): number => (0x5400_0001 | ((words & 0x7_ffff) << 5)) >>> 0

/** Functions of the guest, by the number of their first word behind the image's header. */
const PLACES = { straight: 64, loop: 192, outer: 256 } as const

/**
 * Calls `straight`, which has no frame, `loop`, which has one, and `outer`, which has one and calls `straight` through a
 * register.
 */
function kernel(): Uint8Array {
  const words = Array.from({ length: 320 }, () => 0)
  const place = (at: number, ...program: number[]): void => void words.splice(at, program.length, ...program)
  place(0, movz(9, 0x4030, 16), 0x9100_013f, movz(29, 0), movz(20, ROUNDS & 0xffff), movk(20, ROUNDS >>> 16, 16)) // mov sp, x9
  const loop = 5
  place(loop, bl(PLACES.straight - loop), bl(PLACES.loop - loop - 1), bl(PLACES.outer - loop - 2))
  place(loop + 3, 0xf100_0694, branchNotEqual(-4), movz(0, 0x8400, 16), movk(0, 8), 0xd400_0002) // subs x20, x20, #1; …; hvc #0
  place(PLACES.straight, ...Array.from({ length: STRAIGHT - 1 }, () => ADD), RET)
  place(PLACES.loop, ...ENTER, movz(3, LOOP_ROUNDS), 0xf100_0463, branchNotEqual(-1), ...LEAVE) // subs x3, x3, #1
  const adr = (0x1000_0004 | (((PLACES.straight - PLACES.outer - 2) & 0x7_ffff) << 5)) >>> 0 // adr x4, straight
  place(PLACES.outer, ...ENTER, adr, ADD, 0xd63f_0080, ADD, ...LEAVE) // blr x4
  return image(...words)
}

interface Sampled {
  readonly samples: readonly GuestSample[]
  readonly idleNs: number
  readonly instructions: number
}

async function run(options: Partial<ArmMachineOptions> = {}): Promise<Sampled> {
  const samples: GuestSample[] = []
  let idleNs = 0
  const machine = await createArmMachine({
    memoryBytes: 4 << 20,
    codeCacheBytes: 1 << 20,
    kernel: kernel(),
    clock: 'deterministic',
    sampling: {
      intervalMs: 0.005,
      onSample: (sample) => void samples.push(sample),
      onIdle: (ns) => void (idleNs += ns),
    },
    ...options,
  })
  expect(await machine.run({ timeoutMs: 60_000 })).toMatchObject({ reason: 'power-off' })
  machine.close()
  return { samples, idleNs, instructions: machine.statistics().instructions }
}

const sum = (samples: readonly GuestSample[]): number => samples.reduce((total, { ns }) => total + ns, 0)

describe('samples of an Arm board', () => {
  /** Number of a word behind the header. */
  const wordOf = (address: bigint): number => (Number(address & 0xf_ffffn) - 64) / 4
  const nameOf = (address: bigint): string => {
    const at = wordOf(address)
    return at < PLACES.straight ? 'main' : at < PLACES.loop ? 'straight' : at < PLACES.outer ? 'loop' : 'outer'
  }

  let interpreted: Sampled
  beforeAll(async () => void (interpreted = await run()))

  test('stand for the time that functions have taken, and have their callers', () => {
    const { samples, idleNs, instructions } = interpreted
    expect(sum(samples) / instructions).toBeGreaterThan(0.99)
    expect(sum(samples) / instructions).toBeLessThanOrEqual(1)
    expect(idleNs).toBe(0)
    const costs = { straight: 2 * STRAIGHT, loop: 2 * LOOP_ROUNDS + 5, outer: 8, main: 5 }
    const all = Object.values(costs).reduce((a, b) => a + b)
    for (const [name, cost] of Object.entries(costs)) {
      const share = sum(samples.filter(({ address }) => nameOf(address) === name)) / sum(samples)
      expect([name, Math.abs(share - cost / all) < 0.05]).toEqual([name, true])
    }
    const stacks = samples.map(({ address, callers }) => [address, ...callers].map(nameOf).join(' '))
    const share = (stack: string): number => stacks.filter((each) => each === stack).length / stacks.length
    expect(share('loop main')).toBeGreaterThan((costs.loop / all) * 0.8)
    // A direct call shows its caller though there is no frame; one through a register that of the frame below it.
    expect(share('straight main')).toBeGreaterThan(((2 * STRAIGHT) / all) * 0.8)
    expect(share('outer main')).toBeGreaterThan(0)
    expect(new Set(stacks.filter((stack) => stack.split(' ').length > 3))).toEqual(new Set())
    expect(new Set(samples.map(({ isUser, pageTables }) => `${isUser} ${pageTables}`))).toEqual(
      new Set(['false undefined']),
    )
    expect(samples.at(-1)!.stackPointer).toBeGreaterThan(0x402f_0000n)
  })

  test('are the same with hot code compiled, and change nothing of the run', async () => {
    expect(await run({ jit: { threshold: 1000 } })).toEqual(interpreted)
    expect((await run({ sampling: undefined })).instructions).toBe(interpreted.instructions)
  })

  test("follow the host's clock otherwise", async () => {
    const begun = performance.now()
    const { samples } = await run({ clock: 'real' })
    expect(samples.length).toBeGreaterThan(3)
    expect(sum(samples)).toBeLessThan((performance.now() - begun) * 1e6)
  })

  test('options that cannot be are refused', async () => {
    const sampling = { onSample: () => {}, intervalMs: 0 }
    await expect(run({ sampling })).rejects.toMatchObject({ code: 'ERR_OPTION' })
  })
})
