/** Machines that move while they run. */
import type { Pc } from '@retrap/machine'
import { sliceTests } from '@retrap/tooling/slice'
import { beforeAll, describe, expect } from 'vitest'
import { type Channel, migrate, MigrationError, receiveMigration, StoppableRun } from '../src/index.ts'
import { Throttle } from '../src/source.ts'
import { frame } from './support/frame.ts'
import { STOPPED, tellToEnd, verdictOf, writingPc } from './support/guest.ts'
import { move } from './support/move.ts'
import { pipe } from './support/pipe.ts'

const test = sliceTests(2)

/** Time enough for all of memory. */
const ONCE = { downtimeMs: 100_000 }
/** Bytes that a migration sends, about: its last pages are others each time. */
let bytes = 0
/** Of three answers. */
const BACK_BYTES = 3 * 20

beforeAll(async () => {
  const { report } = await move({}, ONCE)
  bytes = report!.bytes
})

test('the guest goes on at the destination, as if it had not moved', async () => {
  const { report, ran, result, error, selected } = await move({}, ONCE)
  expect(error).toBeUndefined()
  expect(report?.outcome).toBe('moved')
  expect(selected).toBe(0x1237_8086)
  expect(ran).toEqual({ source: false, destination: true })
  expect(result).toBe('whole')
})

test('what it writes meanwhile is sent again, until the rest fits the limit', async () => {
  const rounds: { pages: number; written: number }[] = []
  const options = { bytesPerSecond: 32 << 20, downtimeMs: 20, onRound: (each: (typeof rounds)[0]) => rounds.push(each) }
  const { report, result, error } = await move({}, options, { spin: 100 })
  expect([report?.outcome, error]).toEqual(['moved', undefined])
  expect(result).toBe('whole')
  expect(rounds[0]!.pages).toBeGreaterThan(4000)
  for (const [i, { pages }] of rounds.entries()) if (i > 0) expect(pages).toBe(rounds[i - 1]!.written)
  expect(rounds.at(-1)!.written).toBeLessThan(400)
})

test('memory takes the bandwidth that it is given', async () => {
  // The guest has soon written each page of 4 MiB, on a busy host, too: all go in the first round.
  const bytesPerSecond = 2 << 20
  const { report, result } = await move({}, { ...ONCE, bytesPerSecond })
  expect([report?.outcome, report?.rounds, result]).toEqual(['moved', 1, 'whole'])
  expect(report!.totalMs).toBeGreaterThan(((4 << 20) / bytesPerSecond) * 1000)
})

test('a guest that writes too fast for the limit runs on', async () => {
  let rounds = 0
  const { error, ran, result } = await move({}, { downtimeMs: 0.001, mostRounds: 2, onRound: () => void rounds++ })
  expect(error).toMatchObject({ code: 'ERR_DOWNTIME' })
  expect(rounds).toBe(2)
  expect(ran).toEqual({ source: true, destination: false })
  expect(result).toBe('whole')
})

test('without a limit of its own, a standstill takes at most 300 ms', async () => {
  // A guest that writes all of 4 MiB again and again, of which 2 MiB go in a second.
  const { error, ran } = await move({}, { bytesPerSecond: 2 << 20, mostRounds: 1 })
  expect(error).toMatchObject({
    code: 'ERR_DOWNTIME',
    message: expect.stringContaining('longer than 300 ms') as string,
  })
  expect(ran).toEqual({ source: true, destination: false })
})

describe('a cut', () => {
  // The hand-over record is the last frame that the source sends: twelve bytes.
  test.each([
    { where: 'in what is said of the machine', at: () => 20 },
    { where: 'in the middle of memory', at: () => Math.floor(bytes / 3) },
  ])('$where: the source runs on', async ({ at }) => {
    const { error, ran, result } = await move({ cutAfter: at() }, ONCE)
    expect(error).toBeInstanceOf(MigrationError)
    expect(ran).toEqual({ source: true, destination: false })
    expect(result).toBe('whole')
  })

  test('in the answer that the destination is ready: the source runs on', async () => {
    const { ran, result } = await move({ cutBackAfter: BACK_BYTES - 21 }, ONCE)
    expect(ran).toEqual({ source: true, destination: false })
    expect(result).toBe('whole')
  })

  test('in the last answer: the destination runs, and the source stays stopped', async () => {
    const { report, ran, result } = await move({ cutBackAfter: BACK_BYTES - 1 }, ONCE)
    expect(report?.outcome).toBe('unknown')
    expect(ran).toEqual({ source: false, destination: true })
    expect(result).toBe('whole')
  })
})

test('the hand-over record in two: neither side runs, until somebody decides', async () => {
  // All but the last frame goes through.
  const pc = await writingPc({})
  const [near, far] = pipe()
  const run = new StoppableRun()
  const running = run.run(pc, {}, STOPPED)
  const arriving = receiveMigration(far)
  const send = async (bytes: Uint8Array): Promise<void> => {
    const isRecord = new TextDecoder().decode(bytes.subarray(4, 8)) === 'HAND'
    await near.send(isRecord ? bytes.subarray(0, 11) : bytes)
    if (isRecord) near.close()
  }
  const source = { domain: pc.domain, stop: () => run.stop(), resume: () => run.resume(), save: () => pc.save() }
  const migrating = migrate({ ...near, send }, source, ONCE)
  await expect((await arriving).takeOver()).rejects.toMatchObject({ code: 'ERR_CUT' })
  expect((await migrating).outcome).toBe('unknown')
  expect(run.isStopped).toBe(true)
  const before = pc.domain.instructions
  await new Promise((resolve) => setTimeout(resolve, 50))
  expect(pc.domain.instructions).toBe(before)
  tellToEnd(pc)
  run.resume()
  expect((await running).reason).toBe('power-off')
  expect(verdictOf(pc)).toBe('whole')
  pc.close()
})

describe('the source runs on', () => {
  /** Moves a machine, and has `onSend` look at each piece before it goes. @returns how that failed */
  async function failed(
    onSend: (bytes: Uint8Array, pc: Pc, near: Channel) => Promise<void> | undefined,
  ): Promise<unknown> {
    const pc = await writingPc({})
    const [near, far] = pipe()
    const run = new StoppableRun()
    const running = run.run(pc, {}, STOPPED)
    const arriving = receiveMigration(far).catch(() => undefined)
    const send = (bytes: Uint8Array): Promise<void> => onSend(bytes, pc, near) ?? near.send(bytes)
    const source = { domain: pc.domain, stop: () => run.stop(), resume: () => run.resume(), save: () => pc.save() }
    const error = await migrate({ ...near, send }, source, { ...ONCE, answerMs: 500 }).then(
      () => undefined,
      (thrown: unknown) => thrown,
    )
    expect(run.isStopped).toBe(false)
    tellToEnd(pc)
    expect((await running).reason).toBe('power-off')
    expect(verdictOf(pc)).toBe('whole')
    await arriving
    pc.close()
    return error
  }
  const typeOf = (bytes: Uint8Array): string => new TextDecoder().decode(bytes.subarray(4, 8))

  test.each(['HELO', 'PAGE', 'STAT'])(
    'where the other side reads no more before %s',
    async (type) => {
      let stalls = false
      const error = await failed((bytes) => {
        stalls ||= typeOf(bytes) === type
        return stalls ? new Promise(() => undefined) : undefined
      })
      expect(error).toMatchObject({ code: 'ERR_CUT' })
    },
    20_000,
  )

  test('where the connection ends in the state', async () => {
    let isCut = false
    const error = await failed((bytes, _pc, near) => {
      isCut ||= typeOf(bytes) === 'STAT'
      if (!isCut) return undefined
      return near.send(bytes.subarray(0, bytes.length / 2)).then(() => {
        near.close()
        throw new Error('cut')
      })
    })
    expect(error).toMatchObject({ code: 'ERR_CUT' })
    expect(isCut).toBe(true)
  })

  test('where it has got memory that was not there at the beginning', async () => {
    const error = await failed((bytes, { domain: { p2m } }) => {
      // As firmware does that opens SMRAM.
      if (typeOf(bytes) === 'PAGE' && p2m.translate(0xa_0000) < 0) p2m.populate(0xa0, 1)
      return undefined
    })
    expect(error).toMatchObject({ code: 'ERR_MACHINE' })
  })
})

test('a machine that is held back stands still for a part of the time, and runs in the end', async () => {
  let stopped = false
  let stops = 0
  const throttle = new Throttle({
    stop: async () => {
      stopped = true
      stops++
    },
    resume: () => (stopped = false),
  })
  throttle.set(0.5)
  await new Promise((resolve) => setTimeout(resolve, 200))
  await throttle.end()
  expect([stopped, stops > 1]).toEqual([false, true])
})

test('a machine that ends cannot be stopped any more', async () => {
  const run = new StoppableRun()
  const running = run.run({ run: async () => ({ reason: 'power-off' }) }, {}, { reason: 'stopped' })
  await expect(run.stop()).rejects.toMatchObject({ code: 'ERR_MACHINE' })
  expect([(await running).reason, run.isStopped]).toEqual(['power-off', false])
  await expect(run.stop()).rejects.toThrow('the machine has ended: power-off')
})

test('whoever waits for a machine to stop hears that its run has failed', async () => {
  const run = new StoppableRun()
  const failing = Promise.withResolvers<{ reason: string }>()
  const running = run.run({ run: () => failing.promise }, {}, { reason: 'stopped' })
  const stopping = run.stop()
  failing.reject(new Error('a hook has thrown'))
  await expect(running).rejects.toThrow('a hook has thrown')
  await expect(stopping).rejects.toThrow('the machine has ended: an error')
  expect(run.isStopped).toBe(false)
  await expect(run.stop()).rejects.toMatchObject({ code: 'ERR_MACHINE' })
})

describe('a destination', () => {
  test('may refuse, and the source is told why', async () => {
    const pc = await writingPc({})
    const [near, far] = pipe()
    const accept = (description: unknown): void => {
      expect(description).toEqual({ name: 'x' })
      throw new Error('no room')
    }
    const arriving = receiveMigration(far, { accept })
    const source = { domain: pc.domain, stop: async () => {}, resume: () => {}, save: () => pc.save() }
    await expect(migrate(near, source, { description: { name: 'x' } })).rejects.toMatchObject({
      code: 'ERR_REFUSED',
      message: 'the other side says: no room',
    })
    await expect(arriving).rejects.toThrow('no room')
    pc.close()
  })

  test.each([
    { reclaim: async () => {}, ends: 'runs on', calls: ['release', 'claim', 'reclaim', 'resume'] },
    { reclaim: () => Promise.reject(new Error('taken')), ends: 'is stopped', calls: ['release', 'claim', 'reclaim'] },
  ])('that cannot claim what one side alone may have refuses; the source $ends', async ({ reclaim, calls }) => {
    const pc = await writingPc({})
    const [near, far] = pipe()
    const called: string[] = []
    const call = (name: string): void => void called.push(name)
    const claim = (): Promise<void> => Promise.reject((call('claim'), new Error('locked')))
    const arriving = receiveMigration(far).then((arrived) => arrived.takeOver(claim))
    const source = {
      domain: pc.domain,
      stop: async () => {},
      resume: () => call('resume'),
      save: () => pc.save(),
      release: async () => call('release'),
      reclaim: () => (call('reclaim'), reclaim()),
    }
    const moving = migrate(near, source, ONCE)
    await expect(arriving).rejects.toThrow('locked')
    if (calls.includes('resume'))
      await expect(moving).rejects.toMatchObject({ code: 'ERR_REFUSED', message: 'the other side says: locked' })
    else expect(await moving).toMatchObject({ outcome: 'unknown', error: { message: 'taken' } })
    expect(called).toEqual(calls)
    pc.close()
  })

  test.each([false, true])('gets a machine as its user has left it at the last moment, paused: %s', async (last) => {
    const pc = await writingPc({})
    const [near, far] = pipe()
    let isPaused = !last
    const save = (): ReturnType<typeof pc.save> => ((isPaused = last), pc.save())
    const source = { domain: pc.domain, stop: async () => {}, resume: () => {}, save, isPaused: () => isPaused }
    const moving = migrate(near, source, ONCE)
    expect(await (await receiveMigration(far)).takeOver()).toEqual({ isPaused: last })
    await moving
    pc.close()
  })

  test.each([
    ['no frame', new Uint8Array(64)],
    ['another frame', frame('HAND')],
    ['no description', frame('HELO', '[]')],
    ['frames that no guest has', hello({ protocol: 2, frames: [{ gfn: -1, count: 5 }] })],
    ['frames that are none', hello({ protocol: 2, frames: [null] })],
    ['more of a frame than there can be', frame('HELO', '', 0x7fff_ffff)],
    ['a later frame before it has come', frame('STAT', '', 0x1000_0000)],
    ['another version', hello({ protocol: 3, frames: [] })],
  ])('refuses %s', async (_, given) => {
    const [near, far] = pipe()
    const arriving = receiveMigration(far)
    await near.send(given)
    await expect(arriving).rejects.toMatchObject({ code: 'ERR_PROTOCOL' })
  })

  test('refuses a state that is none', async () => {
    const [near, far] = pipe()
    const arriving = receiveMigration(far)
    await near.send(hello({ protocol: 2, frames: [] }))
    await near.send(frame('STAT', 'none'))
    await expect(arriving).rejects.toMatchObject({ code: 'ERR_PROTOCOL', cause: { name: 'SnapshotError' } })
  })

  test('refuses more memory than the host has', async () => {
    const [near, far] = pipe()
    const arriving = receiveMigration(far)
    await near.send(hello({ protocol: 2, frames: [{ gfn: 0, count: 0x7fff_ffff }] }))
    await expect(arriving).rejects.toMatchObject({ code: 'ERR_MACHINE' })
  })
})

const hello = (value: unknown): Uint8Array => frame('HELO', JSON.stringify(value))
