/** Arm machines that are forked: clones share RAM with the machine that they come from. */
import { DebugExit } from '@retrap/devices'
import { TEST_JIT } from '@retrap/tooling/jit'
import { sliced } from '@retrap/tooling/slice'
import { expect, test } from 'vitest'
import { type ArmForkOptions, type ArmMachine, type ArmMachineOptions, createArmMachine } from '../../src/arm/index.ts'
import type { MachineError } from '../../src/index.ts'
import { armImage as image, movk, movz } from '@retrap/tooling/arm-image'
import { kept, someTurns } from '../support/kept.ts'
import { medium } from '../support/media.ts'
import { linesOf } from '../support/whole-state.ts'

type Given = Partial<ArmMachineOptions>
type Listened = ArmMachine & { printed: string }

const MIB = 1 << 20
const RAM = 0x4000_0000
const jit = Object.keys(TEST_JIT).length > 0

function listened(machine: ArmMachine): Listened {
  kept(machine)
  const listening = Object.assign(machine, { printed: '' })
  machine.serial.onTransmit((bytes) => (listening.printed += String.fromCharCode(...bytes)))
  return listening
}

async function made(options: Given): Promise<Listened> {
  const memoryBytes = 8 * MIB
  const forks = { clones: 6, writtenBytes: memoryBytes }
  return listened(
    await createArmMachine({ memoryBytes, codeCacheBytes: MIB, clock: 'deterministic', jit, forks, ...options }),
  )
}

const cloned = async (machine: ArmMachine, options?: ArmForkOptions): Promise<Listened> =>
  listened(await machine.fork(options))

/**
 * Counts 40 times in a word of its RAM by load-exclusive and store-exclusive, writes each count to a page of its own and sends
 * its character, and powers off. Each time it changes an instruction that it comes to in the same page.
 */
const COUNTER = image(
  movz(1, 0x0900, 16),
  movz(2, 0x60),
  0xb900_2c22, // str w2, [x1, #44]: eight bits
  movz(5, 0x4040, 16), // counted words, a page each
  movz(6, 0x4060, 16), // the counter
  movz(2, 0x41),
  movz(8, 3), // movz x3, #0
  movk(8, 0xd280, 16),
  0xb900_00c2, // str w2, [x6]
  0xd53b_e043, // mrs x3, cntvct_el0
  0x9110_0063, // add x3, x3, #1024
  0xd53b_e044, // mrs x4, cntvct_el0
  0xeb03_009f, // cmp x4, x3
  0x54ff_ffcb, // b.lt .-8
  0xb940_00c2, // ldr w2, [x6]
  0x3900_0022, // strb w2, [x1]
  0xb900_00a2, // str w2, [x5]
  0x1000_0069, // adr x9, .+12
  0x1100_8108, // add w8, w8, #32: one more in its immediate
  0xb900_0128, // str w8, [x9]
  movz(3, 0),
  0xb900_04a3, // str w3, [x5, #4]
  0x9140_04a5, // add x5, x5, #4096
  0x885f_7cc2, // ldxr w2, [x6]
  0x1100_0442, // add w2, w2, #1
  0x8807_7cc2, // stxr w7, w2, [x6]
  0x35ff_ffa7, // cbnz w7, .-12
  0x7101_a45f, // cmp w2, #0x69
  0x54ff_fda1, // b.ne .-76
  movz(0, 0x8400, 16),
  movk(0, 8),
  0xd400_0002,
)
const PRINTED = Array.from({ length: 40 }, (_, i) => String.fromCharCode(0x41 + i)).join('')

/** A kernel that waits for ever. */
const HALTING = image(0xd503_207f, 0x17ff_ffff)

async function endOf({ domain }: ArmMachine): Promise<string[]> {
  const { saveDomain } = await import('@retrap/hvm/arm')
  return linesOf(await saveDomain(domain, 1000))
}

const BOARDS: readonly Given[] = [{}, { devicePlacement: 'deferred', cpus: 3 }, { gic: 2, cpus: 2 }]

test.each(sliced(BOARDS, 3))('%o: clones and theirs go on as the machine does', async (given) => {
  const undisturbed = await made({ ...given, kernel: COUNTER })
  expect(await undisturbed.run({ timeoutMs: 100_000 })).toEqual({ reason: 'power-off' })
  expect(undisturbed.printed).toBe(PRINTED)
  const end = await endOf(undisturbed)

  const all = [await made({ ...given, kernel: COUNTER })]
  const before = ['']
  const runs = [all[0]!.run({ timeoutMs: 100_000 })]
  for (let i = 0; i < 4; i++) {
    await someTurns(Math.random() * 12)
    const at = Math.floor(Math.random() * all.length)
    const source = all[at]!
    // Notes what the source has sent at the instant of the clone, when its devices rest.
    let sent = ''
    const { domain } = source
    const rest = domain.rest.bind(domain)
    domain.rest = async (deadlineMs) => {
      const resting = await rest(deadlineMs)
      sent = before[at]! + source.printed
      return resting
    }
    const clone = await cloned(source).catch((error: MachineError) => error)
    domain.rest = rest
    if (clone instanceof Error) {
      // Its guest has ended it.
      expect(clone.code).toBe('ERR_STATE')
      continue
    }
    all.push(clone)
    before.push(sent)
    runs.push(clone.run({ timeoutMs: 100_000 }))
  }
  for (const [i, machine] of all.entries()) {
    expect(await runs[i]).toEqual({ reason: 'power-off' })
    expect(before[i]! + machine.printed).toBe(PRINTED)
    expect(await endOf(machine)).toEqual(end)
  }
})

const DEVICES: readonly [string, Given][] = [
  ['a GICv3 and a console', { cpus: 2, virtio: [{ kind: 'console', ports: [{ stream: { send() {} } }] }] }],
  ['a GICv2 and disks', { gic: 2, drives: [{ medium: medium(new Uint8Array(MIB)) }] }],
  ['a generator of random numbers and a screen', { virtio: [{ kind: 'rng' }], vga: 'std' }],
  ['Xen', { hypervisor: 'xen', cpus: 2 }],
]

test.each(sliced(DEVICES, 4))(
  'a clone of a machine with %s is the same, and all of it is given back',
  async (_what, given) => {
    const machine = await made({ ...given, kernel: HALTING })
    machine.domain.guestMemory.write(RAM + 4 * MIB, new Uint8Array(100_000).fill(7))
    const first = await cloned(machine)
    expect(linesOf(await first.save())).toEqual(linesOf(await machine.save()))
    first.close()
    const left: number[] = []
    for (let times = 0; times < 3; times++) {
      const second = await cloned(machine)
      const third = await cloned(second)
      second.close()
      third.domain.guestMemory.write(RAM + 4 * MIB, new Uint8Array(100_000).fill(8))
      third.close()
      await someTurns(50)
      left.push(machine.memory.frames.freeFrames)
    }
    // Regions of processors are kept for the next clones.
    expect(left).toEqual([left[0], left[0], left[0]])
    await expect(first.run().then(() => 'ran')).rejects.toMatchObject({ code: 'ERR_STATE' })
  },
)

test('neither a machine nor its clones see what another writes, and a checkpoint of a clone is its own', async () => {
  const machine = await made({ kernel: HALTING })
  const at = RAM + 4 * MIB
  const write = (to: ArmMachine, value: number): boolean => to.domain.guestMemory.write(at, Uint8Array.of(value))
  const read = ({ domain }: ArmMachine): number => {
    const byte = new Uint8Array(1)
    domain.guestMemory.read(at, byte)
    return byte[0]!
  }
  write(machine, 1)
  const first = await cloned(machine)
  const checkpoint = await first.checkpoint()
  const second = await cloned(first)
  write(machine, 2)
  write(first, 3)
  expect([machine, first, second].map(read)).toEqual([2, 3, 1])
  expect(checkpoint.writtenFrames).toBe(1)
  await checkpoint.reset()
  write(second, 4)
  expect([machine, first, second].map(read)).toEqual([2, 1, 4])
  // They share all else.
  const { p2m } = first.domain
  expect(p2m.statistics().frames[p2m.types.ram] ?? 0).toBeLessThan(4)
})

test.each<[string, Given, RegExp]>([
  ['without room', { forks: undefined }, /forks: \{ clones, writtenBytes \}/],
  ['with models of the caller', { devices: [new DebugExit({ iobase: 0x501 })] }, /pass as many new ones as devices/],
])('a machine %s says why it cannot be forked', async (_, options, why) => {
  const machine = await made({ kernel: HALTING, ...options })
  const error = await machine.fork().then(
    () => undefined,
    (thrown: unknown) => thrown as MachineError,
  )
  expect(error?.code).toBe('ERR_FORK')
  expect(error?.message).toMatch(why)
})

test('a clone has an identifier of its generation, which the device tree tells of, and is told', async () => {
  const machine = await made({ kernel: COUNTER, generation: {} })
  expect(Buffer.from(machine.deviceTree).toString('latin1')).toContain('microsoft,vmgenid')
  const idOf = ({ domain }: ArmMachine): string => {
    const ma = domain.secondLevel.peek(0x090f_0000)
    return Buffer.from(domain.memory.u8.subarray(ma, ma + 16)).toString('hex')
  }
  /** Nothing else of the boards differs: neither has run. */
  const stateOf = async (one: ArmMachine): Promise<string> =>
    JSON.stringify({ ...(await one.save()).state, random: null })
  const isTold = async (one: ArmMachine): Promise<boolean> => (await stateOf(one)) !== (await stateOf(machine))
  const [same, first, again, other] = await Promise.all(
    ([undefined, 7, 7, 8] as const).map((after) => cloned(machine, { generation: { after } })),
  )
  expect(idOf(same!)).toBe(idOf(machine))
  expect(idOf(first!)).toBe(idOf(again!))
  expect(new Set([machine, first!, other!].map(idOf)).size).toBe(3)
  expect([await isTold(same!), await isTold(first!)]).toEqual([false, true])
  const none = await made({ kernel: COUNTER })
  expect(Buffer.from(none.deviceTree).toString('latin1')).not.toContain('vmgenid')
})
