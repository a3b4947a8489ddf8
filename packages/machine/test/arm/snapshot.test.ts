/** Arm machines that are saved while they run, and go on elsewhere. */
import { setImmediate as turn } from 'node:timers/promises'
import { defineDevice } from '@retrap/device'
import { TEST_JIT } from '@retrap/tooling/jit'
import { sliced } from '@retrap/tooling/slice'
import { expect, test, vi } from 'vitest'
import { type ArmMachine, type ArmMachineOptions, type ArmSnapshot, createArmMachine } from '../../src/arm/index.ts'
import { armImage as image, movk, movz } from '@retrap/tooling/arm-image'
import { kept } from '../support/kept.ts'
import { medium } from '../support/media.ts'

type Given = Partial<ArmMachineOptions>

/** Sends 40 characters, with some time between them, and powers off. */
const PRINTER = image(
  movz(1, 0x0900, 16),
  movz(2, 0x60),
  0xb900_2c22, // str w2, [x1, #44]: eight bits
  movz(2, 0x41),
  0xd53b_e043, // mrs x3, cntvct_el0
  0x9110_0063, // add x3, x3, #1024
  0xd53b_e044, // mrs x4, cntvct_el0
  0xeb03_009f, // cmp x4, x3
  0x54ff_ffcb, // b.lt .-8
  0x3900_0022, // strb w2, [x1]
  0x1100_0442, // add w2, w2, #1
  0x7101_a45f, // cmp w2, #0x69
  0x54ff_ff01, // b.ne .-32
  movz(0, 0x8400, 16),
  movk(0, 8),
  0xd400_0002,
)
const PRINTED = Array.from({ length: 40 }, (_, i) => String.fromCharCode(0x41 + i)).join('')

/** What comes of making a machine: `made`, or the error. A matcher would print all of a machine. */
const outcome = (making: Promise<unknown>): Promise<unknown> =>
  making.then(
    () => 'made',
    (error: unknown) => error,
  )

/** A kernel that waits for ever. */
const HALTING = image(0xd503_207f, 0x17ff_ffff)

async function made(options: Given): Promise<ArmMachine & { printed: string }> {
  const jit = Object.keys(TEST_JIT).length > 0
  const machine = await createArmMachine({
    ...{ memoryBytes: 4 << 20, codeCacheBytes: 1 << 20, clock: 'deterministic', jit },
    ...options,
  })
  kept(machine)
  const listening = Object.assign(machine, { printed: '' })
  machine.serial.onTransmit((bytes) => (listening.printed += String.fromCharCode(...bytes)))
  return listening
}

const BOARDS: readonly Given[] = [{}, { devicePlacement: 'deferred', cpus: 3 }, { gic: 2, cpus: 2 }]

/** Two CPUs of a guest of Xen: each asks a device, yields by a hypercall in the same turn, and adds up what time it is. */
const YIELDING = image(
  0xd538_00b4, // mrs x20, mpidr_el1
  0x9240_1e94, // and x20, x20, #0xff
  movz(21, 0x4050, 16), // what is added up
  movz(22, 0x0d00, 16), // the device
  movz(26, 20),
  0xb500_0134, // cbnz x20, round
  movz(0, 3), // PSCI CPU_ON
  movk(0, 0xc400, 16),
  movz(1, 1),
  0x10ff_fee2, // adr x2, the first instruction
  movz(3, 0),
  0xd400_0002, // hvc #0
  0xd503_201f, // nop
  0xd503_201f, // nop
  // round:
  0xb900_02da, // str w26, [x22]
  movz(0, 0), // SCHEDOP_yield
  movz(16, 29),
  0xd401_d422, // hvc #0xea1
  0xd53b_e043, // mrs x3, cntvct_el0
  0xf823_02a4, // ldadd x3, x4, [x21]
  0xf100_075a, // subs x26, x26, #1
  0x54ff_ff21, // b.ne round
  0xb5ff_ff14, // cbnz x20, the second CPU goes on
  movz(0, 0x8400, 16),
  movk(0, 8),
  0xd400_0002,
)

test('a guest of Xen that yields while a checkpoint is taken goes on as if there were none', async () => {
  const ended = async (at: number) => {
    let asked = 0
    const taken: Promise<unknown>[] = []
    const device = defineDevice({
      ...{ name: 'device', stateless: true, deterministic: true, mmio: { base: 0x0d00_0000, size: 8 } },
      read: () => 0,
      write: async () => {
        if (asked++ !== at) return
        taken.push(machine.checkpoint())
        for (let i = 0; i < 5; i++) await turn()
      },
    })
    const machine = await made({
      kernel: YIELDING,
      hypervisor: 'xen',
      cpus: 2,
      memoryBytes: 8 << 20,
      devices: [device],
    })
    await machine.checkpoint().then((checkpoint) => checkpoint.close())
    expect(await machine.run({ timeoutMs: 60_000 })).toEqual({ reason: 'power-off' })
    await Promise.all(taken)
    const sum = new Uint8Array(8)
    machine.domain.guestMemory.read(0x4050_0000, sum)
    return [machine.domain.clock.now(), new BigUint64Array(sum.buffer)[0], asked]
  }
  const undisturbed = await ended(-1)
  expect(undisturbed[2]).toBeGreaterThan(30)
  for (const at of [3, 4, 11, 20]) {
    expect(await ended(at)).toEqual(undisturbed)
  }
})

test.each(sliced(BOARDS, 3))('a machine of %o prints as if nothing had been saved', async (given) => {
  let machine = await made({ ...given, kernel: PRINTER })
  let printed = ''
  for (let move = 0; move < 4; move++) {
    const running = machine.run({ timeoutMs: 100_000 })
    for (let i = Math.random() * 12; i > 0; i--) await turn()
    const snapshot = await machine.save().catch(() => undefined)
    if (snapshot === undefined) {
      await running
      break
    }
    const before = machine.printed
    machine.close()
    printed += before
    machine = await made({ ...given, snapshot: structuredClone(snapshot) })
  }
  const exit = await machine.run({ timeoutMs: 100_000 }).catch(() => undefined)
  if (exit !== undefined) expect(exit).toEqual({ reason: 'power-off' })
  expect(printed + machine.printed).toBe(PRINTED)
})

test.each<[string, Given]>([
  ['a GICv3', { cpus: 2 }],
  ['a GICv2 and a disk', { gic: 2, cpus: 2, drives: [{ medium: medium(new Uint8Array(1 << 20)) }] }],
  ['a random number generator', { virtio: [{ kind: 'rng' }] }],
])('a machine with %s that is saved, restored and saved again is the same', async (_what, given) => {
  const first = await made({ ...given, kernel: HALTING })
  const end = new AbortController()
  const running = first.run({ signal: end.signal, timeoutMs: 100_000 })
  const snapshot = await first.save()
  end.abort()
  await running
  const second = await (await made({ ...given, snapshot: structuredClone(snapshot) })).save()
  expect(JSON.stringify(second.state)).toBe(JSON.stringify(snapshot.state))
  expect(Buffer.compare(second.pages.bytes, snapshot.pages.bytes)).toBe(0)
  expect(second.pages.gfns).toEqual(snapshot.pages.gfns)
})

test.each(sliced(BOARDS, 3))('a machine of %o that goes back prints the rest again', async (given) => {
  const machine = await made({ ...given, kernel: PRINTER })
  const running = machine.run({ timeoutMs: 100_000 })
  let pause = NaN
  const saved = await machine.save({ onResumed: (ms) => (pause = ms) })
  expect(pause).toBeGreaterThan(0)
  await running
  expect(machine.printed).toBe(PRINTED)
  const rests: string[] = []
  for (let times = 0; times < 2; times++) {
    machine.printed = ''
    await machine.restore(saved)
    expect(await machine.run({ timeoutMs: 100_000 })).toEqual({ reason: 'power-off' })
    rests.push(machine.printed)
  }
  expect(rests[0]).toBe(rests[1])
  expect(rests[0]!.length).toBeGreaterThan(0)
  expect(PRINTED.endsWith(rests[0]!)).toBe(true)
})

test('an Arm machine goes back to its checkpoint, and is there what a new one is', async () => {
  const machine = await made({ cpus: 2, gic: 2, kernel: PRINTER })
  const running = machine.run({ timeoutMs: 100_000 })
  const checkpoint = await machine.checkpoint()
  await running
  const rests: string[] = []
  const states: ArmSnapshot[] = []
  for (let times = 0; times < 3; times++) {
    await checkpoint.reset()
    expect(checkpoint.writtenFrames).toBe(0)
    states.push(await machine.save())
    machine.printed = ''
    expect(await machine.run({ timeoutMs: 100_000 })).toEqual({ reason: 'power-off' })
    rests.push(machine.printed)
  }
  for (const { state, pages } of states.slice(1)) {
    expect(JSON.stringify(state)).toBe(JSON.stringify(states[0]!.state))
    expect(Buffer.compare(pages.bytes, states[0]!.pages.bytes)).toBe(0)
  }
  const fresh = await made({ cpus: 2, gic: 2, snapshot: states[0] })
  await fresh.run({ timeoutMs: 100_000 })
  expect(rests).toEqual([fresh.printed, fresh.printed, fresh.printed])
  checkpoint.close()
  expect(await outcome(checkpoint.reset())).toMatchObject({ code: 'ERR_STATE' })
})

test('what does not fit leaves an Arm machine as it was', async () => {
  const machine = await made({ kernel: HALTING })
  const snapshot = await machine.save()
  for (const state of [
    { ...snapshot.state, version: 2 },
    { ...snapshot.state, domain: { ...snapshot.state.domain, vcpus: [] } },
  ]) {
    expect(await outcome(machine.restore({ ...snapshot, state } as never))).toMatchObject({ code: 'ERR_SNAPSHOT' })
  }
  expect((await machine.save()).state).toEqual(snapshot.state)
  machine.close()
  expect(await outcome(machine.restore(snapshot))).toMatchObject({ code: 'ERR_STATE' })
})

test('random numbers of a deterministic machine go on', async () => {
  const first = await (await made({ kernel: HALTING })).save()
  expect(first.state.random).not.toBe(0)
  const second = await (await made({ snapshot: first })).save()
  expect(second.state.random).toBe(first.state.random)
})

test.each<[string, Given, string]>([
  ['memory', { memoryBytes: 8 << 20 }, 'the snapshot is of another machine: memoryBytes 4194304, expected 8388608'],
  ['number of vCPUs', { cpus: 2 }, 'the snapshot is of another machine: cpus 1, expected 2'],
  ['interrupt controller', { gic: 2 }, 'the snapshot is of another machine: gic 3, expected 2'],
  ['time', { clock: 'real' }, 'the snapshot is of another machine: clock deterministic, expected real'],
  [
    'medium',
    { drives: [{ medium: medium(new Uint8Array(4096)) }] },
    'the snapshot is of another machine: sizes of media , expected 4096',
  ],
  [
    'device',
    { virtio: [{ kind: 'rng' }] },
    'the snapshot does not fit this machine: saved state has nothing of device',
  ],
])('a machine with another %s does not take the snapshot', async (_what, difference, message) => {
  const snapshot = await (await made({ kernel: HALTING })).save()
  const making = made({ ...difference, snapshot })
  const error = { code: 'ERR_SNAPSHOT', message: expect.stringContaining(message) as string }
  expect(await outcome(making)).toMatchObject(error)
})

/** A snapshot in which something of the domain's state is another. */
const withDomain =
  (change: object) =>
  ({ state, pages }: ArmSnapshot): unknown => ({ state: { ...state, domain: { ...state.domain, ...change } }, pages })

test.each<[string, (snapshot: ArmSnapshot) => unknown, string]>([
  ['another version', ({ state, pages }) => ({ state: { ...state, version: 2 }, pages }), 'version 2: expected 1'],
  ['no devices', withDomain({ devices: undefined }), 'the snapshot does not fit this machine: '],
  ['no processors', withDomain({ vcpus: null }), 'the snapshot does not fit this machine: '],
  ['no timers', withDomain({ timers: null }), 'timers: saved state of version undefined'],
  [
    'a GICv2',
    ({ state, pages }) => withDomain({ interrupts: { ...state.domain.interrupts, version: 2 } })({ state, pages }),
    'interrupt controller: saved state of version 2: expected 3',
  ],
  [
    'a vCPU that has power 7',
    ({ state, pages }) => withDomain({ vcpus: [{ ...state.domain.vcpus[0], power: 7 }] })({ state, pages }),
    'state of vCPU 0: power 7: expected 0 or 1',
  ],
  [
    'a page of no RAM',
    ({ state }) => ({ state, pages: { gfns: Uint32Array.of(1), bytes: new Uint8Array(4096) } }),
    "guest frame 1, which is out of order or not the guest's",
  ],
])('a snapshot with %s is refused', async (_what, change, message) => {
  const snapshot = change(await (await made({ kernel: HALTING })).save()) as ArmSnapshot
  const making = made({ snapshot })
  const error = { code: 'ERR_SNAPSHOT', message: expect.stringContaining(message) as string }
  expect(await outcome(making)).toMatchObject(error)
})

test('a model that cannot be saved is named; a machine that has ended says so', async () => {
  const model = defineDevice({ name: 'thermometer', mmio: { base: 0xb00_0000, size: 16 }, read: () => 20 })
  const saving = async (given: Given): Promise<unknown> => (await made({ kernel: HALTING, ...given })).save()
  expect(String(await outcome(saving({ devices: [model] })))).toContain('device model thermometer cannot be saved')
  const machine = await made({ kernel: HALTING })
  machine.close()
  expect(await outcome(machine.save())).toMatchObject({ code: 'ERR_STATE' })
})

// The hour passes for the guest itself (catch-up.ts): it is not in the clock's base.
test.each(['real', 'deterministic'] as const)(
  'a board on %s time that is restored an hour later has a clock with the same base',
  async (clock) => {
    const machine = await made({ clock, kernel: HALTING })
    const shownBy = ({ state }: ArmSnapshot): number => {
      const { baseSeconds } = JSON.parse(/"baseSeconds":\d+/.exec(JSON.stringify(state))![0].replace(/^/, '{') + '}')
      return baseSeconds as number
    }
    const snapshot = await machine.save()
    const now = Date.now()
    const host = vi.spyOn(Date, 'now').mockImplementation(() => now + 3_600_000)
    try {
      const restored = await made({ clock, snapshot })
      expect(shownBy(await restored.save()) - shownBy(snapshot)).toBeGreaterThanOrEqual(0)
      expect(shownBy(await restored.save()) - shownBy(snapshot)).toBeLessThan(100)
    } finally {
      host.mockRestore()
    }
  },
)
