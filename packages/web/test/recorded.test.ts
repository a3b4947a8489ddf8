/** The Worker's side of a machine that is recorded: its way back, without a page. */
import { setImmediate as turn } from 'node:timers/promises'
import { serveMessages } from '@retrap/device-hosting'
import { afterEach, describe, expect, test } from 'vitest'
import type { SentOptions } from '../src/protocol.ts'
import { snapshotFile } from '../src/worker/snapshots.ts'
import { DiskJournal } from '../src/worker/disk-journal.ts'
import type { WorkerMachine } from '../src/worker/worker-machine.ts'
import {
  DEVICE_PORT,
  diskGuest,
  lineArmGuest,
  lineGuest,
  portGuest,
  tickingArmGuest,
  tickingGuest,
} from './support/guests.ts'
import { Told } from './support/told.ts'

/** Boards: the port of the serial line, a spare register, that of the byte that came, and where RAM is. */
const BOARDS = [
  {
    ...({ board: 'pc', ticking: tickingGuest, line: lineGuest, ram: 0x3000n } as const),
    ...({ model: { cpu: 'diamond-rapids' }, registers: ['r15', 'rbx'] } as const),
    further: ['r31', 'k7', 'zmm31', 'tmm7', 'st7', 'efer'],
    port: { kind: 'port', address: 0x3f8, count: 1, access: 'write' },
  },
  {
    ...({ board: 'virt', ticking: tickingArmGuest, line: lineArmGuest, ram: 0x4040_3000n } as const),
    ...({ model: {}, registers: ['x15', 'x3'], further: ['v31', 'fpcr', 'TTBR0_EL1'] } as const),
    port: { kind: 'mmio', address: 0x900_0000, count: 1, access: 'write' },
  },
] as const

let told: Told
afterEach(() => told.machine.pause())

describe.each([
  ['from power-on', true],
  ['from an instant on', false],
])('a machine that is recorded %s', (_, atOnce) => {
  test.each(BOARDS)('goes back, and on again to the same: $board', { timeout: 20_000 }, async ({ board, ticking }) => {
    told = await Told.open(ticking(), { board, record: atOnce })
    await told.machine.run()
    await told.says('a', 4)
    if (!atOnce) await told.machine.record()
    await told.says('b', 4)
    await told.machine.pause()
    const { now, isLive, begin } = await told.call('position')
    expect(isLive).toBe(true)
    const here = await told.registers()
    expect(await told.call('travel', { by: 'stepBack' })).toEqual({ reason: 'step' })
    expect(await told.call('position')).toMatchObject({ instruction: now - 1, now, isLive: false })
    expect(await told.registers()).not.toEqual(here)
    await told.call('travel', { to: begin })
    await told.call('travel', { to: now - 1 })
    expect(await told.call('travel', { by: 'step' })).toEqual({ reason: 'step' })
    expect(await told.registers()).toEqual(here)
    // It goes on from where it was.
    await told.machine.run()
    await told.says('c', 4)
    // A branch goes on from the past, and is recorded as well.
    await told.machine.pause()
    await told.call('travel', { to: now - 1 })
    const branched = await told.registers()
    const branching = told.machine.branch()
    // Requests that come meanwhile are for the branch.
    expect(await told.call('position')).toMatchObject({ isLive: true })
    await branching
    expect(await told.registers()).toEqual(branched)
    await told.answers('d', 4)
    expect(await told.call('travel', { by: 'stepBack' })).toEqual({ reason: 'step' })
  })
})

test.each(BOARDS)(
  'it tells who printed a text, and who wrote a register: $board',
  { timeout: 20_000 },
  async (tested) => {
    told = await Told.open(tested.line(), { board: tested.board, record: true })
    await told.machine.run()
    await told.says('y', 2)
    await told.says('x', 2)
    await told.machine.pause()
    const here = await told.call('position')
    const rbx = async (): Promise<number> => Number((await told.machine.inspect()).vcpus[0]!.registers[3]! & 0xffn)
    // Stops of the user end no search.
    const port = await told.call('addStop', tested.port)
    const printed = await told.call('whoWrote', { printed: 'y', line: 'y' })
    const written = await told.call('whoWrote', { register: tested.registers[1] })
    expect([printed, written]).toMatchObject([
      {
        by: 'instruction',
        task: null,
        calls: expect.arrayContaining([expect.objectContaining({ name: null, source: null })]),
      },
      { by: 'instruction', task: null },
    ])
    expect(await told.call('whoWrote', { printed: 'z' })).toMatchObject({ by: 'unknown' })
    expect(await told.call('position')).toEqual(here)
    await told.call('travel', { to: (printed as { instruction: number }).instruction })
    expect(await told.call('travel', { by: 'continue' })).toMatchObject({
      reason: tested.port.kind,
      value: BigInt(0x79),
    })
    await told.call('removeStop', port)
    await told.call('travel', { to: (written as { instruction: number }).instruction })
    expect(await rbx()).toBe(0x79)
    await told.call('travel', { by: 'step' })
    expect(await rbx()).toBe(0x78)
    const { address } = written as { address: bigint }
    const code = await told.call('readMemory', { address, length: 12 })
    expect(await told.call('findMemory', code)).toContain(Number(address))
    await expect(told.call('findMemory', new Uint8Array())).rejects.toThrow(/1 to 4096/)
  },
)

test('it stops at ports and MSRs, forwards and backwards', { timeout: 20_000 }, async () => {
  told = await Told.open(tickingGuest(), { record: true })
  await told.answers('a', 4)
  const { now } = await told.call('position')
  const port = await told.call('addStop', { kind: 'port', address: 0x3f8, count: 1, access: 'write' })
  await told.call('addStop', { kind: 'msr', address: 0x1b, count: 1, access: 'access' })
  // The serial port has said what was written, the last byte last.
  for (let sent = 4; sent > 0; sent--) {
    expect(await told.call('travel', { by: 'reverseContinue' })).toEqual({
      ...{ reason: 'port', cpu: 0, address: 0x3f8, size: 1, write: true },
      value: BigInt(told.serial[sent - 1]!),
    })
    // It is before that byte, which the terminal lacks, though the port handed all four over together.
    expect(told.shown).toEqual(told.serial.slice(0, sent - 1))
  }
  const msr = { reason: 'msr', cpu: 0, address: 0x1b, size: 8, write: true, value: 0xfee0_0100n }
  expect(await told.call('travel', { by: 'reverseContinue' })).toEqual(msr)
  expect(await told.call('travel', { by: 'continue' })).toEqual(msr)
  expect(await told.call('travel', { by: 'continue' })).toMatchObject({
    reason: 'port',
    value: BigInt(told.serial[0]!),
  })
  expect(told.shown).toEqual(told.serial.slice(0, 1))
  // The machine itself stops as it runs.
  await told.call('travel', { to: now })
  await told.machine.run()
  told.type('b')
  const stops = (): unknown[] => told.events.flatMap((event) => (event.event === 'position' ? [event.stop] : []))
  await expect.poll(() => stops().at(-1)).toMatchObject({ reason: 'port', address: 0x3f8, write: true })
  await told.call('removeStop', port)
  await told.machine.run()
  await expect.poll(() => told.serial.length).toBe(8)
  await expect(told.call('addStop', { kind: 'handler', vector: 32 })).rejects.toThrow(/a vector from 0 to 31/)
})

test.each(BOARDS)(
  'it goes over calls, to requests of devices, and is played: $board',
  { timeout: 20_000 },
  async (tested) => {
    const { board, ticking, port } = tested
    told = await Told.open(ticking(), { board, record: true })
    await told.answers('a', 4)
    const { now } = await told.call('position')
    const request = { reason: port.kind, cpu: 0, address: port.address, size: 1, write: true }
    const id = await told.call('addStop', port)
    expect(await told.call('travel', { by: 'reverseContinue' })).toMatchObject(request)
    await told.call('removeStop', id)
    const { instruction: asked } = await told.call('position')
    expect(await told.call('travel', { by: 'request', kind: port.kind, direction: 'forwards' })).toMatchObject(request)
    expect(await told.call('travel', { by: 'request', kind: 'device', direction: 'back' })).toMatchObject(request)
    await told.call('travel', { by: 'step' })
    // An instruction that calls nothing is a step in either direction.
    expect(await told.call('travel', { by: 'reverseStepOver', cpu: 0 })).toEqual({ reason: 'step' })
    expect(await told.call('position')).toMatchObject({ instruction: asked })
    expect(await told.call('travel', { by: 'stepOver', cpu: 0 })).toEqual({ reason: 'step' })
    expect(await told.call('position')).toMatchObject({ instruction: asked + 1 })
    await expect(told.call('travel', { by: 'stepOver', cpu: 7 })).rejects.toThrow(/there is no vCPU 7/)
    // A piece of the run is played, up to a stop.
    await told.call('travel', { to: asked - 1 })
    expect(await told.call('travel', { by: 'continue', to: asked + 1 })).toEqual({ reason: 'step' })
    expect(await told.call('position')).toMatchObject({ instruction: asked + 1, isLive: false })
    await told.call('travel', { to: asked - 1 })
    await told.call('addStop', port)
    expect(await told.call('travel', { by: 'continue', to: now })).toMatchObject(request)
  },
)

test.each(BOARDS)(
  'a change of the past branches, and one without a recording is made at once: $board',
  { timeout: 20_000 },
  async (tested) => {
    const place = { address: tested.ram, physical: true }
    const bytes = Uint8Array.of(1, 2, 3)
    for (const record of [true, false]) {
      await told?.machine.pause()
      told = await Told.open(tested.ticking(), { board: tested.board, ...tested.model, record })
      await told.answers('a', 4)
      if (record) await told.call('travel', { by: 'stepBack' })
      await expect(told.machine.change({ ...place, address: 0xffff_f000_0000n, bytes })).rejects.toThrow(/no memory/)
      await expect(told.machine.change({ register: 'nonsense', value: 1n })).rejects.toThrow(/no register/)
      if (record) expect(await told.call('position')).toMatchObject({ isLive: false })
      expect(await told.machine.change({ ...place, bytes })).toBe(record)
      expect(await told.machine.change({ register: tested.registers[0], value: 0x1234n })).toBe(record)
      const { vcpus } = await told.machine.inspect()
      expect(vcpus[0]!.registers[15]).toBe(0x1234n)
      const said = told.serial.length
      await told.machine.run()
      told.type('b')
      await expect.poll(() => told.serial.length).toBeGreaterThan(said)
      await told.machine.pause()
      if (!record) continue
      const all = new Map((await told.call('registers', 0)).map(({ name, value }) => [name, value]))
      expect([all.get(tested.registers[0]), tested.further.filter((one) => !all.has(one))]).toEqual([0x1234n, []])
      expect(await told.call('readMemory', { ...place, length: 3 })).toEqual(bytes)
      const { begin } = await told.call('position')
      await told.call('travel', { to: begin })
      expect(await told.call('readMemory', { ...place, length: 3 })).toEqual(bytes)
    }
  },
)

test('a branch has the disk as it was', { timeout: 20_000 }, async () => {
  const blob = new Blob([new Uint8Array(1 << 20)])
  const drives: SentOptions['drives'] = [{ id: 'disk0', media: 'disk', source: { bytes: await blob.bytes() } }]
  told = await Told.open(diskGuest(), { record: true, drives })
  await told.machine.run()
  const say = async (text: string, answer: string): Promise<void> => {
    expect(String.fromCharCode(...(await told.says(text, answer.length)))).toBe(answer)
  }
  await expect.poll(() => told.serial).toHaveLength(1)
  await say('A', '.')
  await say('0', 'A')
  await told.machine.pause()
  const { now } = await told.call('position')
  await told.machine.run()
  await say('B', '.')
  await say('0', 'B')
  await told.machine.pause()
  await told.call('travel', { to: now - 1 })
  await told.machine.branch()
  await told.machine.run()
  await say('0', 'A')
  await say('C', '.')
  await say('0', 'C')
})

test.each(BOARDS)(
  'a recording that is saved is opened elsewhere, at the same instant, and goes on: $board',
  { timeout: 20_000 },
  async ({ board, ticking }) => {
    told = await Told.open(ticking(), { board, record: true })
    await told.answers('ab', 8)
    const file = await told.call('recording')
    const { now, guestMs } = await told.call('position')
    const [here, hash, past] = [await told.registers(), await told.call('stateHash'), await told.call('history')]
    // It is still recorded.
    await told.answers('c', 4)
    const other = await Told.open(null, { images: { recording: { blob: file } } })
    expect(await other.call('position')).toEqual({ instruction: now, now, begin: 0, guestMs, isLive: true })
    expect(await other.registers()).toEqual(here)
    expect(await other.call('stateHash')).toBe(hash)
    expect((await other.call('history')).samples).toEqual(past.samples)
    await other.call('travel', { to: 0 })
    await other.call('travel', { to: now - 1 })
    expect(await other.call('stateHash')).not.toBe(hash)
    await other.call('travel', { by: 'step' })
    expect(await other.call('stateHash')).toBe(hash)
    expect(other.serial).toEqual([])
    await other.answers('d', 4)
  },
)

test.each(BOARDS)(
  'a snapshot of a recorded machine goes on in one that is not, and the other way round: $board',
  { timeout: 20_000 },
  async ({ board, ticking }) => {
    told = await Told.open(ticking(), { board, record: true })
    const ticks = (machine: Told, text: string): Promise<number[]> => machine.answers(text, 4)
    await ticks(told, 'a')
    const saved = async (machine: Told): Promise<{ bytes: Uint8Array<ArrayBuffer> }> => {
      const blob = await snapshotFile(await machine.machine.save(null), null)
      return { bytes: new Uint8Array(await blob.arrayBuffer()) }
    }
    const recorded = await saved(told)
    const here = await told.registers()
    // In the memory of an ordinary machine, and in one that is made from it.
    const plain = await Told.open(ticking(), { board })
    await ticks(plain, 'b')
    await plain.machine.restore(recorded)
    expect(await plain.registers()).toEqual(here)
    await ticks(plain, 'c')
    const ordinary = await saved(plain)
    const there = await plain.registers()
    const made = await Told.open(ticking(), { board, images: { snapshot: recorded } })
    expect(await made.registers()).toEqual(here)
    await ticks(made, 'd')
    // And in the one that is recorded, which goes back in what comes then.
    await told.machine.restore(ordinary)
    expect(await told.registers()).toEqual(there)
    await ticks(told, 'e')
    expect(await told.call('travel', { by: 'stepBack' })).toEqual({ reason: 'step' })
  },
)

/** Attaches a device that counts its reads, and takes a moment for each. @returns its port, to be closed */
function attachCounter(machine: WorkerMachine, first: number): { attached: Promise<void>; port: MessagePort } {
  const { port1, port2 } = new MessageChannel()
  let reads = first
  const read = async (): Promise<number> => {
    await turn()
    return reads++
  }
  void serveMessages(port2, (server) =>
    server.attach({
      name: 'counter',
      attach: (context) => void context.mapPorts(DEVICE_PORT, 1, { read, write: () => undefined }),
    }),
  )
  return { attached: machine.attachDevices('counter', port1), port: port2 }
}

test('devices of the page come and go while it is recorded, on the way back too', { timeout: 20_000 }, async () => {
  told = await Told.open(portGuest(), { record: true })
  const { machine } = told
  const reads = async (): Promise<number> => (await told.says('r', 1))[0]!
  await machine.run()
  expect(await reads()).toBe(0xff)
  // Where it stands still, they come when it runs on.
  await machine.pause()
  const { now: before } = await told.call('position')
  const { attached, port } = attachCounter(machine, 65)
  let isThere = false
  void attached.then(() => (isThere = true))
  await turn()
  expect(isThere).toBe(false)
  await machine.run()
  await attached
  expect([await reads(), await reads()]).toEqual([65, 66])
  await expect(machine.save(null)).rejects.toThrow(/of the page cannot be saved; detach them first/)
  await machine.pause()
  const { now: between } = await told.call('position')
  expect(machine.detachDevices('counter')).toBe(true)
  await expect(machine.save(null)).rejects.toThrow(/leave when the machine runs on/)
  await machine.run()
  expect(await reads()).toBe(0xff)
  // Others of that name, which nobody takes out.
  const other = attachCounter(machine, 97)
  await other.attached
  expect(await reads()).toBe(97)
  await machine.pause()
  const { now } = await told.call('position')
  const [here, hash] = [await told.registers(), await told.call('stateHash')]
  // The guest's own reads of the past.
  await told.call('addStop', { kind: 'port', address: 0x3f8, count: 1, access: 'write' })
  for (const value of [97n, 0xffn, 66n, 65n, 0xffn])
    expect(await told.call('travel', { by: 'reverseContinue' })).toMatchObject({ reason: 'port', value })
  await told.call('travel', { to: between - 1 })
  await expect(machine.branch()).rejects.toThrow(/branch where the machine has none/)
  await told.call('travel', { to: now - 1 })
  await told.call('travel', { by: 'step' })
  expect([await told.registers(), await told.call('stateHash')]).toEqual([here, hash])
  // A file of it has no devices, and is the same run.
  const file = await told.call('recording')
  const opened = await Told.open(portGuest(), { images: { recording: { blob: file } } })
  expect(await opened.call('stateHash')).toBe(hash)
  expect(await opened.call('travel', { to: before - 1 })).toEqual({ reason: 'step' })
  await expect(attachCounter(opened.machine, 0).attached).rejects.toThrow(/the machine is that of a file/)
  await told.call('travel', { to: before - 1 })
  await machine.branch()
  await machine.run()
  expect(await reads()).toBe(0xff)
  for (const one of [port, other.port]) one.close()
})

test('devices that are slow and dead are so on the way back', { timeout: 20_000 }, async () => {
  told = await Told.open(tickingGuest(), { record: true })
  const { machine } = told
  const ticks = (): Promise<number[]> => told.says('t', 4)
  await machine.run()
  await ticks()
  machine.impairDevice('mc146818', { dead: true })
  expect((await ticks()).slice(2)).toEqual([0xff, 0xff])
  machine.impairDevice('mc146818', { delayMs: 1 })
  expect((await ticks()).slice(2)).not.toEqual([0xff, 0xff])
  await machine.pause()
  const { now } = await told.call('position')
  await machine.run()
  machine.impairDevice('mc146818', {})
  // Its interrupts do not come: the guest sleeps on.
  machine.impairDevice('i8254', { dead: true })
  await machine.pause()
  const { now: end } = await told.call('position')
  const hash = await told.call('stateHash')
  for (const to of [now - 1, 0, now - 1, end - 1]) await told.call('travel', { to })
  await told.call('travel', { by: 'step' })
  expect(await told.call('stateHash')).toBe(hash)
  const file = await told.call('recording')
  const opened = await Told.open(tickingGuest(), { images: { recording: { blob: file } } })
  expect(await opened.call('stateHash')).toBe(hash)
  expect(() => opened.machine.impairDevice('mc146818', { dead: true })).toThrow(/the machine is that of a file/)
  await machine.run()
  machine.impairDevice('i8254', {})
  await ticks()
})

test('a disk is put back to an instant only where it is known which writes came before', async () => {
  const bytes = new Uint8Array(64)
  const none = (): Promise<void> => Promise.resolve()
  const medium = {
    properties: { bytes: 64, readOnly: false },
    read: async (offset: number, into: Uint8Array) => into.set(bytes.subarray(offset, offset + into.length)),
    write: async (offset: number, from: Uint8Array) => bytes.set(from, offset),
    ...{ flush: none, discard: none, writeZeroes: none, onChange: () => () => undefined },
  }
  let instruction = 10
  const journal = new DiskJournal(() => instruction)
  const drive = journal.of({ id: 'disk0', medium } as unknown as Parameters<DiskJournal['of']>[0])
  for (const [from, to] of [
    [10, 14],
    [20, 20],
  ] as const) {
    instruction = from
    const writing = drive.medium!.write(from, Uint8Array.of(from), undefined as never)
    // The turn is over.
    instruction = to
    await writing
  }
  for (const between of [10, 12, 14, 20]) expect(() => journal.check(between)).toThrow(/somewhere from instruction/)
  journal.check(15)
  await journal.undo(15)
  expect([bytes[10], bytes[20]]).toEqual([10, 0])
})
