/** Machines that are saved while they run, and go on elsewhere. */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { defineDevice, type DeviceContext } from '@retrap/device'
import { TEST_JIT } from '@retrap/tooling/jit'
import { expect, test } from 'vitest'
import { createPc, type Pc, type PcOptions, type PcSnapshot } from '../src/index.ts'
import type { Smram } from '../src/firmware/smram.ts'
import { CLOCKED, clocked, clockFirmware, clockLog, clockRun } from './support/clock-guest.ts'
import { kept, someTurns } from './support/kept.ts'
import { multibootKernel } from './support/kernels.ts'
import { medium } from './support/media.ts'

async function made(options: Omit<PcOptions, 'memoryBytes'>): Promise<Pc> {
  return kept(await createPc({ memoryBytes: 4 << 20, codeCacheBytes: 4 << 20, jit: TEST_JIT, ...options }))
}

test.each(CLOCKED)(
  '$machine with devices $devicePlacement: every clock goes on as if nothing had been saved',
  async (given) => {
    const expected = await clockRun(await made(clocked(given)))

    let pc = await made(clocked(given))
    for (let move = 0; ; move++) {
      const running = pc.run({ timeoutMs: 60_000 })
      await someTurns()
      const snapshot = await pc.save().catch(() => undefined)
      if (snapshot === undefined || move === 4) {
        expect(await running).toMatchObject({ reason: 'debug-exit' })
        break
      }
      pc = await made({ ...clocked(given), snapshot: structuredClone(snapshot) })
    }
    expect(clockLog(pc, 0n)).toEqual(expected)
  },
)

/** A machine with a kernel that halts. */
const halting = (): Omit<PcOptions, 'memoryBytes'> => ({
  kernel: multibootKernel((asm) => void asm.hlt()),
  clock: 'deterministic',
})

test('a machine runs on while its RAM is copied, and saves one after the other', async () => {
  const pc = await made({ kernel: multibootKernel((asm) => void asm.jmp(asm.here())), memoryBytes: 64 << 20 } as never)
  for (let gpa = 32 << 20; gpa < 64 << 20; gpa += 4096) pc.domain.guestMemory.write(gpa, Uint8Array.of(1))
  const end = new AbortController()
  const running = pc.run({ signal: end.signal, timeoutMs: 60_000 })
  const order: unknown[] = []
  const saves = [1, 2].map(async (which) => {
    let before = 0
    const { pages } = await pc.save({
      onResumed: (ms) => {
        order.push(which, ms > 0)
        before = pc.domain.instructions
      },
    })
    order.push('done')
    expect(pc.domain.instructions).toBeGreaterThan(before)
    expect(pages.gfns.length).toBeGreaterThanOrEqual(8192)
  })
  await Promise.all(saves)
  expect(order).toEqual([1, true, 'done', 2, true, 'done'])
  end.abort()
  expect(await running).toEqual({ reason: 'stopped' })
})

test('a listener that throws ends the save, and the guest writes its RAM as before', async () => {
  const pc = await made(halting())
  const why = new Error('the listener')
  const onResumed = (): never => {
    throw why
  }
  await expect(pc.save({ onResumed })).rejects.toBe(why)
  const { dirtyLogs, p2m } = pc.domain
  expect([dirtyLogs.beforeWrites, p2m.writeLogs.overlaps(0, 0x400)]).toEqual([null, false])
  expect((await pc.save()).pages.gfns.length).toBeGreaterThan(0)
})

test('firmware that hides RAM for system management while the machine is saved gets it, and the RAM is saved', async () => {
  const tsegBytes = 1 << 20
  const pc = await made({ machine: 'q35', smm: true, firmware: clockFirmware('periodic') })
  const smram = pc.domain.systemManagementMemory as Smram
  const gpa = (4 << 20) - tsegBytes
  pc.domain.guestMemory.write(gpa, Uint8Array.of(0x5a))
  const { pages } = await pc.save({
    onResumed: () => {
      smram.apply({ low: false, high: false, open: false, openHigh: false, tsegBytes })
      pc.domain.memory.fill(smram.machineAddress(gpa), 4096, 1)
    },
  })
  expect(smram.save().tsegBytes).toBe(tsegBytes)
  expect(pages.bytes[pages.gfns.indexOf(gpa / 4096) * 4096]).toBe(0x5a)
})

test('a machine goes on without the kernel that it was started with', async () => {
  const snapshot = await (await made(halting())).save()
  const second = await (await made({ clock: 'deterministic', snapshot })).save()
  expect(second.pages).toEqual(snapshot.pages)
  const third = await (await made({ clock: 'deterministic', snapshot: second })).save()
  expect(third).toEqual(second)
})

test('random numbers of a deterministic machine go on', async () => {
  const first = await made(halting())
  const before = first.domain.architecture.random()
  const second = await made({ clock: 'deterministic', snapshot: await first.save() })
  expect(second.domain.architecture.random()).toBe(first.domain.architecture.random())
  expect(second.domain.architecture.random()).not.toBe(before)
})

test('what no device knows goes with it', async () => {
  const first = await made(halting())
  Object.assign(first.domain, { a20: false, asleep: true })
  first.domain.architecture.ferr = true
  const { domain } = await made({ ...halting(), snapshot: await first.save() })
  expect([domain.a20, domain.asleep, domain.architecture.ferr, domain.interrupts.asserted(13)]).toEqual([
    ...[false, true, true, true],
  ])
})

test('a machine does not keep the snapshot that it goes on from', async () => {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  const restored = async (): Promise<WeakRef<object>> => {
    const snapshot = await (await made(halting())).save()
    await made({ clock: 'deterministic', snapshot })
    return new WeakRef(snapshot.pages)
  }
  const pages = await restored()
  // A matcher keeps what it was given last.
  await expect.poll(() => (collect(), pages.deref() === undefined)).toBe(true)
})

test.each<[string, Partial<PcOptions>, string]>([
  ['memory', { memoryBytes: 8 << 20 }, 'the snapshot is of another machine: memoryBytes 4194304, expected 8388608'],
  ['number of vCPUs', { cpus: 2 }, 'the snapshot is of another machine: cpus 1, expected 2'],
  ['board', { machine: 'q35' }, 'the snapshot is of another machine: machine pc, expected q35'],
  ['time', { clock: 'real' }, 'the snapshot is of another machine: clock deterministic, expected real'],
  [
    'firmware',
    { firmware: clockFirmware('periodic') },
    'the snapshot is of another machine: start kernel, expected firmware',
  ],
  ['serial ports', { serialPorts: 2 }, 'the snapshot does not fit this machine: saved state has nothing of device'],
  ['processor', { cpu: 'core2' }, 'the snapshot does not fit this machine: saved state of CPU model'],
])('a machine with another %s does not take the snapshot', async (_what, difference, message) => {
  const snapshot = await (await made(halting())).save()
  const making = made({ ...halting(), ...difference, snapshot }).then(() => 'made')
  await expect(making).rejects.toMatchObject({ code: 'ERR_SNAPSHOT', message: expect.stringContaining(message) })
})

test.each<[string, (snapshot: PcSnapshot) => unknown, string]>([
  ['another version', ({ state, pages }) => ({ state: { ...state, version: 2 }, pages }), 'version 2: expected 1'],
  [
    'a page of no RAM',
    ({ state }) => ({ state, pages: { gfns: Uint32Array.of(0xf0000), bytes: new Uint8Array(4096) } }),
    "guest frame 983040, which is out of order or not the guest's",
  ],
  [
    'too few bytes',
    ({ state, pages }) => ({ state, pages: { ...pages, bytes: pages.bytes.subarray(1) } }),
    'expected 4096 each',
  ],
  [
    'no devices',
    ({ state, pages }) => ({ state: { ...state, domain: { ...state.domain, devices: undefined } }, pages }),
    'the snapshot does not fit this machine: ',
  ],
  [
    'no processors',
    ({ state, pages }) => ({ state: { ...state, domain: { ...state.domain, vcpus: null } }, pages }),
    'the snapshot does not fit this machine: ',
  ],
  [
    'no random numbers',
    ({ state, pages }) => ({ state: { ...state, random: undefined }, pages }),
    'the machine’s state.random is missing: expected a number',
  ],
  [
    'text for a bit',
    ({ state, pages }) => ({ state: { ...state, domain: { ...state.domain, a20: 'on' } }, pages }),
    'the domain’s state.a20 is a string: expected a boolean',
  ],
  [
    'half a turn',
    ({ state, pages }) => {
      const round = { ...state.domain.round!, left: undefined }
      return { state: { ...state, domain: { ...state.domain, round } }, pages }
    },
    'the domain’s state.round.left is missing: expected a number',
  ],
  [
    'a segment without a limit',
    ({ state, pages }) => {
      const [cpu] = state.domain.vcpus
      const es = { ...cpu!.segments.es, limit: undefined }
      const vcpus = [{ ...cpu!, segments: { ...cpu!.segments, es } }]
      return { state: { ...state, domain: { ...state.domain, vcpus } }, pages }
    },
    'the domain’s state.vcpus[0].segments.es.limit is missing: expected a number',
  ],
  [
    'one frame for a list of them',
    ({ state, pages }) => ({ state: { ...state, domain: { ...state.domain, frames: state.domain.frames[0] } }, pages }),
    'the domain’s state.frames is an object: expected an array',
  ],
])('a snapshot with %s is refused', async (_what, change, message) => {
  const snapshot = change(await (await made(halting())).save()) as PcSnapshot
  const making = made({ ...halting(), snapshot }).then(() => 'made')
  await expect(making).rejects.toMatchObject({ code: 'ERR_SNAPSHOT', message: expect.stringContaining(message) })
})

test('a machine with another medium in a drive does not take the snapshot', async () => {
  const options = (bytes: number | null): Omit<PcOptions, 'memoryBytes'> => ({
    ...halting(),
    drives: [
      { medium: medium(new Uint8Array(1 << 20)) },
      { medium: bytes === null ? null : medium(new Uint8Array(bytes)), media: 'cdrom' },
    ],
  })
  const first = await made(options(4096))
  const before = await first.save()
  await made({ ...options(4096), kernel: undefined, snapshot: before })
  await first.drive('cd0').eject()
  const after = await first.save()
  await made({ ...options(null), snapshot: after })
  const making = made({ ...options(4096), snapshot: after })
  const message = expect.stringContaining('sizes of media 1048576,0, expected 1048576,4096') as string
  await expect(making).rejects.toMatchObject({ code: 'ERR_SNAPSHOT', message })
})

test('a model that cannot be saved is named, and the machine runs on', async () => {
  const model = defineDevice({ name: 'thermometer', ports: [{ base: 0x300, size: 1 }], read: () => 20 })
  const pc = await made({ ...halting(), devices: [model] })
  const message = expect.stringContaining('device model thermometer cannot be saved') as string
  await expect(pc.save()).rejects.toMatchObject({ code: 'ERR_SNAPSHOT', message })
  const end = new AbortController()
  const running = pc.run({ signal: end.signal, timeoutMs: 60_000 })
  await expect(pc.save()).rejects.toMatchObject({ code: 'ERR_SNAPSHOT', message })
  end.abort()
  expect(await running).toEqual({ reason: 'stopped' })
})

test('a machine whose run was stopped is saved, and runs on', async () => {
  const pc = await made(halting())
  for (let i = 0; i < 2; i++) {
    const end = new AbortController()
    const running = pc.run({ signal: end.signal, timeoutMs: 60_000 })
    end.abort()
    expect(await running).toEqual({ reason: 'stopped' })
    expect((await pc.save()).state.version).toBe(1)
  }
})

test('device models go on when RAM has its contents', async () => {
  const seen: number[] = []
  const model = (): ReturnType<typeof defineDevice> => {
    let memory: DeviceContext['dma'] | undefined
    return defineDevice({
      name: 'reader',
      ports: [{ base: 0x300, size: 1 }],
      stateless: true,
      attach: ({ dma }) => void (memory = dma),
      resume() {
        const bytes = new Uint8Array(1)
        memory?.read(0x9_0000, bytes)
        seen.push(bytes[0]!)
      },
    })
  }
  const first = await made({ ...halting(), devices: [model()] })
  first.domain.guestMemory.load(0x9_0000, Uint8Array.of(7))
  await made({ ...halting(), devices: [model()], snapshot: await first.save() })
  expect(seen).toEqual([7, 7])
})

test('a machine that shows Xen, and one that does not, have snapshots of their own', async () => {
  const pc = await made({ ...halting(), hypervisor: 'xen' })
  const snapshot = await pc.save()
  const without = await made(halting())
  await expect(without.restore(snapshot)).rejects.toMatchObject({
    code: 'ERR_SNAPSHOT',
    message: expect.stringContaining('the saved guest saw a hypervisor: expected none'),
  })
  await expect(pc.restore(await without.save())).rejects.toMatchObject({
    message: expect.stringContaining('the saved guest saw no hypervisor: expected one'),
  })
})

test('a machine that has ended is not saved', async () => {
  const pc = await made({ ...halting(), clock: 'real' })
  pc.close()
  await expect(pc.save()).rejects.toMatchObject({ code: 'ERR_STATE', message: 'the machine has ended' })
})
