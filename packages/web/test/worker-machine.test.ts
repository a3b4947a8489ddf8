/** The Worker's side without a page: what a page that says little gets. */
import { buildGuestImage } from '@retrap/embedded-guest'
import { Pc } from '@retrap/machine'
import { ArmMachine } from '@retrap/machine/arm'
import type { ArmBoardView } from '../src/index.ts'
import { bytesSource, readSnapshot, readSnapshotDescription } from '@retrap/snapshot'
import { debianMembers } from '@retrap/tooling/debian'
import { skipNote } from '@retrap/tooling/skip'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { armImage } from '@retrap/tooling/arm-image'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { movedParts, type SentOptions } from '../src/protocol.ts'
import { watchHostSleep } from '../src/worker/host-sleep.ts'
import { snapshotFile } from '../src/worker/snapshots.ts'
import { WorkerMachine } from '../src/worker/worker-machine.ts'
import { diskGuest, tickingGuest, endingGuest, loopingGuest } from './support/guests.ts'
import { Told } from './support/told.ts'

const firmware = { bytes: new Uint8Array(buildGuestImage()) }

test.each([
  [undefined, 128],
  [16, 16],
])('of %s MiB that a page asks for, a machine has %d', async (asked, has) => {
  const memoryBytes = asked === undefined ? {} : { memoryBytes: asked << 20 }
  const options: SentOptions = { images: { firmware }, drives: null, shared: false, tablet: true, ...memoryBytes }
  const machine = await WorkerMachine.open(options, () => {})
  const file = new Uint8Array(await (await snapshotFile(await machine.save(null), null)).arrayBuffer())
  const description = await readSnapshotDescription(bytesSource(file))
  expect(description).toMatchObject({ page: { memoryBytes: has * 2 ** 20 } })
  // What the command line takes: a controller, and then the device on it.
  const { arguments: given } = description as { arguments: string[] }
  expect(given.join(' ')).toContain('--device qemu-xhci --device usb-tablet')
})

const FOLDER = './usr/share/seabios/'
const MEMBERS = [`${FOLDER}bios-256k.bin`, `${FOLDER}vgabios-stdvga.bin`]
const seabios = await debianMembers([{ package: 'seabios', members: MEMBERS }])

test.runIf(seabios !== undefined)(
  `SeaBIOS writes to the screen, and not to the terminal too, where GRUB writes to both by itself${skipNote(seabios !== undefined, 'cannot fetch it')}`,
  async () => {
    const [bios, vgaBios] = MEMBERS.map((name) => ({ bytes: new Uint8Array(readFileSync(join(seabios![0]!, name))) }))
    const images = { firmware: bios!, vgaBios: vgaBios! }
    let said = ''
    const machine = await WorkerMachine.open(
      { images, drives: [], shared: false, vga: 'std', memoryBytes: 16 << 20 },
      (message) => {
        if ('event' in message && message.event === 'serial') said += new TextDecoder().decode(message.bytes)
      },
    )
    await machine.run()
    await expect.poll(() => machine.screenText(), { timeout: 20_000 }).toContain('No bootable device')
    await machine.pause()
    expect(said).toBe('')
  },
)

test.each([false, true])('a machine goes on as it was saved, paused or not: %s', async (isPaused) => {
  const told = await Told.open(buildGuestImage())
  await told.machine.run()
  if (isPaused) await told.machine.pause()
  const file = await told.snapshot()
  await told.machine.pause()
  const again = await Told.open(buildGuestImage(), { images: { snapshot: { bytes: file } } })
  expect(again.state).toBe(isPaused ? 'paused' : undefined)
  for (const bytes of [file, await again.snapshot()])
    expect(await readSnapshotDescription(bytesSource(bytes))).toMatchObject({ isPaused })
  await again.machine.run()
  await expect.poll(() => again.state).toBe('running')
  await again.machine.pause()
})

test('a machine is saved without being compressed: that is another Worker’s, as the guest would stand still for it', async () => {
  const { machine } = await Told.open(buildGuestImage())
  vi.stubGlobal('CompressionStream', undefined)
  try {
    const snapshot = await machine.save(null)
    expect(snapshot.pages.bytes).toHaveLength(snapshot.pages.gfns.length * 4096)
    // They are moved on their way to it, as copying them takes time, too.
    expect(movedParts([snapshot])).toEqual([snapshot.pages.gfns.buffer, snapshot.pages.bytes.buffer])
  } finally {
    vi.unstubAllGlobals()
  }
})

test('a machine that cannot go on recorded has ended, and one that is not recorded has no branches', async () => {
  const { machine, events } = await Told.open(buildGuestImage())
  await expect(machine.branch()).rejects.toThrow('the machine is not recorded; machine.debugger.record() begins to')
  const failing = vi.spyOn(Pc, 'create').mockRejectedValueOnce(new Error('no room'))
  await expect(machine.record()).rejects.toThrow('no room')
  failing.mockRestore()
  expect(events.at(-1)).toEqual({ event: 'exit', exit: { reason: 'internal-error', detail: { message: 'no room' } } })
  expect(() => machine.statistics()).toThrow('the machine is off')
})

test('a machine that is asked twice to be recorded is made anew once', async () => {
  const { machine } = await Told.open(buildGuestImage())
  const making = vi.spyOn(Pc, 'create')
  await Promise.all([machine.record(), machine.record()])
  expect(making).toHaveBeenCalledTimes(1)
  making.mockRestore()
})

test('a guest whose RAM is still coming goes on while it is to be saved', async () => {
  const first = await Told.open(tickingGuest())
  const saved = await first.machine.save(null)
  const { state, pages } = saved
  // All else comes later than the first pages, and the guest touches nothing of a frame at 8 MiB.
  const none = { gfns: new Uint32Array(), bytes: new Uint8Array() }
  const place = pages.gfns.findIndex((gfn) => gfn > 2048)
  const at = place * 4096
  const more = {
    gfns: Uint32Array.from([...pages.gfns.slice(0, place), 2048, ...pages.gfns.slice(place)]),
    bytes: new Uint8Array(
      Buffer.concat([pages.bytes.slice(0, at), new Uint8Array(4096).fill(7), pages.bytes.slice(at)]),
    ),
  }
  const file = await snapshotFile({ ...saved, pages: more, state: { ...(state as object), first: none } }, null)
  const told = await Told.open(tickingGuest(), {
    images: { snapshot: { bytes: new Uint8Array(await file.arrayBuffer()) } },
  })
  const { machine } = told
  await machine.run()
  let isSaved = false
  const saving = machine.save(null).then(() => (isSaved = true))
  await told.says('a', 4)
  expect(isSaved).toBe(false)
  await saving
  await machine.pause()
})

test('an Arm board is changed at once, and goes on with that', async () => {
  const { machine } = await Told.open(armImage(0x1400_0000), { board: 'virt' })
  const look = async (): Promise<ArmBoardView['vcpus'][number]> =>
    ((await machine.inspect()) as unknown as ArmBoardView).vcpus[0]!
  await machine.run()
  const { address } = await look()
  // ADD X7, X7, #1; B to it.
  const bytes = new Uint8Array(Uint32Array.of(0x9100_04e7, 0x17ff_ffff).buffer)
  expect(await machine.change({ address, bytes })).toBe(false)
  expect(await machine.change({ register: 'x7', value: 1n << 40n })).toBe(false)
  expect(await machine.debug('readMemory', [{ address, length: 8 }])).toEqual(bytes)
  expect((await look()).registers[7]).toBe(1n << 40n)
  await machine.run()
  await expect.poll(async () => (await look()).registers[7]).toBeGreaterThan(1n << 40n)
  await machine.pause()
  await expect(machine.change({ register: 'rax', value: 1n })).rejects.toThrow(/no register/)
})

test.each([
  ['pc', { images: { firmware } }],
  ['virt', { board: 'virt', images: { kernel: { bytes: armImage(0x1400_0000) } } }],
] as const)('a %s saved again compresses no more than what was written since', async (_board, given) => {
  const options: SentOptions = { ...given, drives: null, shared: false, memoryBytes: 16 << 20 }
  const machine = await WorkerMachine.open(options, () => {})
  let compressed = 0
  vi.stubGlobal(
    'CompressionStream',
    class extends CompressionStream {
      constructor(format: CompressionFormat) {
        super(format)
        compressed++
      }
    },
  )
  let before: { readonly instant: number; readonly file: Blob } | null = null
  /** @returns how many sections were compressed */
  const save = async (): Promise<number> => {
    const snapshot = await machine.save(before?.instant ?? null)
    expect(snapshot.pages.onlyWritten).toBe(before === null ? undefined : true)
    compressed = 0
    before = { instant: snapshot.instant, file: await snapshotFile(snapshot, before?.file ?? null) }
    return compressed
  }
  try {
    const saved = [vi.spyOn(Pc.prototype, 'save'), vi.spyOn(ArmMachine.prototype, 'save')]
    await machine.save(null)
    const [{ domain }] = saved.flatMap(({ mock }) => mock.contexts) as [Pc | ArmMachine]
    const { guestMemory } = domain
    const base = 'board' in given ? 0x4000_0000 : 0
    const pages = [3, 7, 11].map((mib) => base + mib * 2 ** 20)
    for (const gpa of pages) guestMemory.write(gpa, Uint8Array.of(1))
    const first = await save()
    // The description, the state, and the list of pages.
    const rest = await save()
    expect(rest).toBeLessThanOrEqual(4)
    expect(first).toBeGreaterThanOrEqual(rest + 3)
    guestMemory.write(pages[1]! + 5, Uint8Array.of(2))
    expect(await save()).toBe(rest + 1)
    guestMemory.write(pages[0]!, Uint8Array.of(0))
    guestMemory.write(pages[2]! + 2 ** 20, Uint8Array.of(3))
    expect(await save()).toBe(rest + 1)
    const read = async (file: Blob): Promise<Map<number, string>> => {
      const { gfns, bytes } = (await readSnapshot(bytesSource(new Uint8Array(await file.arrayBuffer())))).pages
      const all = [...gfns].map(
        (gfn, i) => [gfn, Buffer.from(bytes.subarray(i * 4096, (i + 1) * 4096)).toString('hex')] as const,
      )
      return new Map(all.filter(([, text]) => /[^0]/.test(text)))
    }
    expect(await read(before!.file)).toEqual(await read(await snapshotFile(await machine.save(null), null)))
    // The file of another instant than the last one is of no use.
    const { instant } = before!
    await machine.save(null)
    expect((await machine.save(instant)).pages.onlyWritten).toBeUndefined()
  } finally {
    vi.unstubAllGlobals()
    vi.restoreAllMocks()
  }
})

test('a write that is under way when the machine goes back is not on its disk then', async () => {
  const disk = new Uint8Array(1 << 20).fill(0x41)
  const told = await Told.open(diskGuest(), { drives: [{ id: 'disk0', source: { bytes: disk } }] })
  const { machine } = told
  await machine.run()
  await expect.poll(() => told.serial).toEqual([...Buffer.from('r')])
  const bytes = await told.snapshot()
  machine.told({ tell: 'diskDelay', ms: 4000 })
  // The rest of what it lies in is read first.
  told.type('b')
  await expect.poll(async () => (await machine.inspect()).requests.length).toBeGreaterThan(0)
  machine.told({ tell: 'diskDelay', ms: 0 })
  // The guest waits for it in a loop: others have their turns sooner without.
  await machine.pause()
  await machine.restore({ bytes })
  await machine.run()
  expect(await told.says('2', 1)).toEqual([...Buffer.from('A')])
  await machine.pause()
})

describe('a single step', () => {
  test('settles, and is one instruction, however many are asked for at once', async () => {
    const told = await Told.open(loopingGuest())
    const { machine } = told
    // A first one, of a machine that was never run.
    expect(await machine.step(0)).toBe(true)
    const { instructions } = machine.statistics()
    expect(await Promise.all([machine.step(0), machine.step(0), machine.step(0)])).toEqual([true, true, true])
    expect(machine.statistics().instructions - instructions).toBe(3)
    expect(told.state).toBe('paused')
    await expect(machine.step(1)).rejects.toThrow('vCPU 1: expected 0 to 0')
    expect(told.state).toBe('paused')
  })

  test('is followed by what was asked for meanwhile: a run, a pause, a reset', async () => {
    const told = await Told.open(loopingGuest())
    const { machine } = told
    const [first] = await Promise.all([machine.step(0), machine.run()])
    expect(first).toBe(true)
    await expect.poll(() => told.state).toBe('running')
    const [second] = await Promise.all([machine.step(0), machine.pause()])
    expect(second).toBe(true)
    expect(told.state).toBe('paused')
    const third = machine.step(0)
    await machine.reset()
    expect(typeof (await third)).toBe('boolean')
    await expect.poll(() => told.state).toBe('running')
    await machine.pause()
  })

  test('of a machine that ends by it, and of one that is off', async () => {
    const told = await Told.open(endingGuest())
    const { machine } = told
    for (let i = 0; i < 64 && told.state !== 'off'; i++) await machine.step(0).catch(() => {})
    expect(told.state).toBe('off')
    await expect(machine.step(0)).rejects.toThrow('the machine is off')
  })
})

test('a machine that is off goes back to a snapshot, and is paused there', async () => {
  const told = await Told.open(endingGuest())
  const { machine } = told
  const bytes = await told.snapshot()
  for (const _ of [1, 2]) {
    await machine.run()
    await expect.poll(() => told.state).toBe('off')
    await machine.restore({ bytes })
    expect(told.state).toBe('paused')
    expect(machine.statistics().instructions).toBe(0)
  }
})

describe('a computer that has slept for two hours', () => {
  const MS = 2 * 3600 * 1000
  afterEach(() => vi.restoreAllMocks())

  // Clocks of hosts differ: some count the sleep, and the others have it told.
  test.each([true, false])(
    'has the guest at the time of day, without a storm of ticks (its clock went on: %s)',
    async (goesOn) => {
      const told = await Told.open(tickingGuest())
      const { machine } = told
      await machine.run()
      const ask = async (): Promise<{ ticks: number; minutes: number }> => {
        const [low, high, hour, minute] = (await told.says('a', 4)) as [number, number, number, number]
        const decimal = (bcd: number): number => (bcd >> 4) * 10 + (bcd & 15)
        return { ticks: low | (high << 8), minutes: decimal(hour) * 60 + decimal(minute) }
      }
      const before = await ask()
      const now = performance.now.bind(performance)
      const began = now()
      if (goesOn) vi.spyOn(performance, 'now').mockImplementation(() => now() + MS)
      else await machine.slept(MS)
      const first = await ask()
      const minutes = (first.minutes - before.minutes + 1440) % 1440
      expect(minutes).toBeGreaterThanOrEqual(120)
      expect(minutes).toBeLessThanOrEqual(121 + (now() - began) / 60_000)
      // The ticks of a second at most, of the 7,200,000; later ones may still come.
      const later = await ask()
      expect(first.ticks + later.ticks).toBeLessThan(1100 + 1.1 * (now() - began))
      await machine.pause()
    },
  )

  test('is noticed by its two clocks; a wall clock that is set right is not', () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'Date', 'performance'] })
    try {
      const told: number[] = []
      const stop = watchHostSleep((ms) => told.push(ms))
      vi.advanceTimersByTime(10_000)
      vi.setSystemTime(Date.now() + 3000)
      vi.advanceTimersByTime(10_000)
      vi.setSystemTime(Date.now() - 60_000)
      vi.advanceTimersByTime(10_000)
      expect(told).toEqual([])
      vi.setSystemTime(Date.now() + MS)
      vi.advanceTimersByTime(10_000)
      expect(told).toEqual([MS])
      stop()
      vi.setSystemTime(Date.now() + MS)
      vi.advanceTimersByTime(10_000)
      expect(told).toEqual([MS])
    } finally {
      vi.useRealTimers()
    }
  })
})
